//! tokio's sockets.

use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{A_WHILE, kind, same_on_both_async};

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Two ends of one connection: who connected, and who accepted.
async fn connected() -> (TcpStream, TcpStream) {
    let (listener, address) = listening().await;
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

#[test]
fn a_port_without_a_listener_refuses() {
    same_on_both_async(|seen| async move {
        let (listener, address) = listening().await;
        drop(listener);
        seen.note(kind(TcpStream::connect(address).await).map(drop));
    });
}

#[test]
fn both_ends_know_their_addresses() {
    same_on_both_async(|seen| async move {
        let (listener, address) = listening().await;
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (client, (server, from)) = (client.unwrap(), server.unwrap());
        seen.note(address.port() != 0);
        seen.note(client.peer_addr().unwrap() == address);
        seen.note(server.local_addr().unwrap() == address);
        seen.note(client.local_addr().unwrap() == from);
        seen.note(server.peer_addr().unwrap() == from);
        seen.note(client.local_addr().unwrap().ip());
    });
}

#[test]
fn a_port_that_is_taken_is_refused_to_another_listener() {
    same_on_both_async(|seen| async move {
        let (_listener, address) = listening().await;
        seen.note(kind(TcpListener::bind(address).await).map(drop));
    });
}

#[test]
fn one_end_can_finish_while_the_other_goes_on() {
    same_on_both_async(|seen| async move {
        let (mut client, mut server) = connected().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        seen.note(kind(server.read_to_string(&mut asked).await));
        seen.note(asked);
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answered = String::new();
        seen.note(kind(client.read_to_string(&mut answered).await));
        seen.note(answered);
        seen.note(kind(client.write_all(b"more").await));
    });
}

#[test]
fn closing_with_unread_data_resets_the_connection() {
    same_on_both_async(|seen| async move {
        let (mut client, server) = connected().await;
        client.write_all(b"never read").await.unwrap();
        server.peek(&mut [0; 1]).await.unwrap();
        drop(server);
        tokio::time::sleep(A_WHILE).await;
        let mut buffer = [0; 8];
        seen.note(kind(client.read(&mut buffer).await));
        seen.note(kind(client.read(&mut buffer).await));
        seen.note(kind(client.write_all(b"more").await));
    });
}

#[test]
fn whoever_writes_to_a_closed_end_is_told_the_second_time() {
    same_on_both_async(|seen| async move {
        let (mut client, server) = connected().await;
        drop(server);
        tokio::time::sleep(A_WHILE).await;
        seen.note(kind(client.write_all(b"first").await));
        tokio::time::sleep(A_WHILE).await;
        seen.note(kind(client.write_all(b"second").await));
        let mut buffer = [0; 8];
        seen.note(kind(client.read(&mut buffer).await));
    });
}

#[test]
fn peeking_leaves_what_it_sees() {
    same_on_both_async(|seen| async move {
        let (mut client, mut server) = connected().await;
        client.write_all(b"look").await.unwrap();
        let mut buffer = [0; 8];
        seen.note(kind(server.peek(&mut buffer).await));
        seen.note(kind(server.peek(&mut buffer[..2]).await));
        seen.note(kind(server.read(&mut buffer).await));
        drop(client);
        seen.note(kind(server.peek(&mut buffer).await));
        seen.note(kind(server.read(&mut buffer).await));
    });
}

#[test]
fn several_buffers_are_written_at_once() {
    same_on_both_async(|seen| async move {
        let (mut client, mut server) = connected().await;
        let parts = [
            IoSlice::new(b"one "),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        seen.note(kind(client.write_vectored(&parts).await));
        drop(client);
        let mut all = String::new();
        seen.note(kind(server.read_to_string(&mut all).await));
        seen.note(all);
    });
}

#[test]
fn nothing_can_be_read_and_written() {
    same_on_both_async(|seen| async move {
        let (mut client, mut server) = connected().await;
        seen.note(kind(client.write(&[]).await));
        client.write_all(b"x").await.unwrap();
        server.peek(&mut [0; 1]).await.unwrap();
        seen.note(kind(server.read(&mut []).await));
        let mut buffer = [0; 8];
        seen.note(kind(server.read(&mut buffer).await));
        seen.note(kind(server.try_read(&mut buffer)));
    });
}

#[test]
fn a_megabyte_goes_both_ways_at_once() {
    same_on_both_async(|seen| async move {
        const SIZE: usize = 1 << 20;
        let (client, server) = connected().await;
        let both = |stream: TcpStream, byte: u8| async move {
            let (mut reader, mut writer) = stream.into_split();
            let write = async move {
                writer.write_all(&vec![byte; SIZE]).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let read = async move {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).await.unwrap();
                (all.len(), all.iter().all(|own| *own != byte))
            };
            tokio::join!(write, read).1
        };
        seen.note(tokio::join!(both(client, 1), both(server, 2)));
    });
}

#[test]
fn a_slow_reader_of_small_pieces_holds_the_writer_up_and_gets_all() {
    same_on_both_async(|seen| async move {
        const SIZE: usize = 8 << 20;
        let (mut client, mut server) = connected().await;
        let writer = tokio::spawn(async move {
            client.write_all(&vec![3; SIZE]).await.unwrap();
        });
        tokio::time::sleep(A_WHILE).await;
        seen.note(writer.is_finished());
        let mut total = 0;
        let mut piece = [0; 1000];
        loop {
            let count = server.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            total += count;
        }
        seen.note(total);
        writer.await.unwrap();
    });
}

#[test]
fn what_does_not_happen_in_time_is_given_up_and_can_be_tried_again() {
    same_on_both_async(|seen| async move {
        let (listener, address) = listening().await;
        seen.note(timeout(A_WHILE, listener.accept()).await.is_err());
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4];
        seen.note(
            timeout(A_WHILE, server.read_exact(&mut buffer))
                .await
                .is_err(),
        );
        client.write_all(b"late").await.unwrap();
        seen.note(
            timeout(Duration::from_secs(5), server.read_exact(&mut buffer))
                .await
                .is_ok(),
        );
        seen.note(buffer);
        let much = vec![0; 32 << 20];
        seen.note(timeout(A_WHILE, client.write_all(&much)).await.is_err());
    });
}

#[test]
fn only_one_of_two_things_that_are_waited_for_has_to_happen() {
    same_on_both_async(|seen| async move {
        let (mut client, mut server) = connected().await;
        let mut buffer = [0; 4];
        tokio::select! {
            read = server.read(&mut buffer) => seen.note(kind(read)),
            () = tokio::time::sleep(A_WHILE) => seen.note("nothing came"),
        }
        client.write_all(b"now").await.unwrap();
        tokio::select! {
            read = server.read(&mut buffer) => seen.note(kind(read)),
            () = tokio::time::sleep(Duration::from_secs(5)) => seen.note("nothing came"),
        }
    });
}

#[test]
fn a_half_that_is_dropped_finishes_its_way() {
    same_on_both_async(|seen| async move {
        let (client, mut server) = connected().await;
        let (mut reader, writer) = client.into_split();
        drop(writer);
        let mut buffer = [0; 8];
        seen.note(kind(server.read(&mut buffer).await));
        server.write_all(b"still").await.unwrap();
        seen.note(kind(reader.read(&mut buffer).await));
    });
}

#[test]
fn a_socket_can_be_made_first_and_used_later() {
    same_on_both_async(|seen| async move {
        let socket = TcpSocket::new_v4().unwrap();
        seen.note(kind(socket.set_reuseaddr(true)));
        socket
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let listener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
        seen.note(kind(client.set_nodelay(true)));
        seen.note(listener.accept().await.is_ok());
        seen.note(client.take_error().unwrap().is_none());
    });
}

#[test]
fn connections_wait_for_whoever_accepts_them() {
    same_on_both_async(|seen| async move {
        let (listener, address) = listening().await;
        let mut clients = Vec::new();
        for number in 0..5_u8 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&[number]).await.unwrap();
            clients.push(client);
        }
        for _ in 0..5 {
            let (mut server, _) = listener.accept().await.unwrap();
            seen.note(kind(server.read_u8().await));
        }
    });
}

#[test]
fn closing_a_listener_resets_who_was_not_accepted() {
    same_on_both_async(|seen| async move {
        let (listener, address) = listening().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        drop(listener);
        tokio::time::sleep(A_WHILE).await;
        let read = client.read_u8().await;
        seen.note(read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    });
}

#[test]
fn datagrams_go_to_whom_they_are_sent() {
    same_on_both_async(|seen| async move {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        seen.note(kind(client.send_to(b"one", address).await));
        seen.note(kind(client.send_to(b"two!", address).await));
        let mut buffer = [0; 8];
        let (count, from) = server.recv_from(&mut buffer).await.unwrap();
        seen.note((count, from == client.local_addr().unwrap()));
        seen.note(kind(server.recv(&mut buffer[..2]).await));
        seen.note(kind(server.try_recv(&mut buffer)));
        seen.note(kind(server.send_to(b"back", from).await));
        seen.note(kind(client.recv(&mut buffer).await));
    });
}

#[test]
fn a_connected_datagram_socket_has_one_peer() {
    same_on_both_async(|seen| async move {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        seen.note(kind(client.send(b"nobody").await));
        client.connect(server.local_addr().unwrap()).await.unwrap();
        seen.note(client.peer_addr().unwrap() == server.local_addr().unwrap());
        seen.note(kind(client.send(b"hello").await));
        let mut buffer = [0; 8];
        let (count, from) = server.recv_from(&mut buffer).await.unwrap();
        seen.note(count);
        server.send_to(b"and back", from).await.unwrap();
        seen.note(kind(client.recv(&mut buffer).await));
        let nothing = timeout(A_WHILE, client.recv(&mut buffer)).await;
        seen.note(nothing.is_err());
    });
}
