//! Pipes and pairs of connected Unix sockets.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{A_WHILE, Seen, kind, same_on_both, same_on_both_async};

#[test]
fn a_pipe_carries_bytes_from_thread_to_thread() {
    same_on_both(|seen| {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let waiting = std::thread::spawn(move || {
            let mut word = [0; 3];
            let first = kind(reader.read(&mut word));
            let mut rest = String::new();
            (first, word, kind(reader.read_to_string(&mut rest)), rest)
        });
        std::thread::sleep(A_WHILE);
        writer.write_all(b"one two").unwrap();
        let mut again = writer.try_clone().unwrap();
        drop(writer);
        std::thread::sleep(A_WHILE);
        again.write_all(b" three").unwrap();
        drop(again);
        seen.note(waiting.join().unwrap());
    });
}

#[test]
fn a_pipe_without_a_reader_breaks() {
    same_on_both(|seen| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        drop(reader);
        seen.note(kind(writer.write(b"one")));
    });
}

#[test]
fn a_full_pipe_waits_for_its_reader() {
    same_on_both(|seen| {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let filling = std::thread::spawn(move || kind(writer.write_all(&vec![7; 300_000])));
        std::thread::sleep(A_WHILE);
        let mut all = Vec::new();
        seen.note(kind(reader.read_to_end(&mut all)));
        seen.note(all.iter().all(|byte| *byte == 7));
        seen.note(filling.join().unwrap());
    });
}

#[test]
fn the_ends_of_a_pipe_have_one_way_each() {
    same_on_both(|seen| {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut wrong = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        seen.note(wrong.write(b"one").unwrap_err().raw_os_error());
        let mut wrong = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
        seen.note(wrong.read(&mut [0; 3]).unwrap_err().raw_os_error());
    });
}

#[test]
fn copying_out_of_a_socket_is_reading_and_writing() {
    same_on_both(|seen| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        one.write_all(b"all of it").unwrap();
        drop(one);
        seen.note(kind(std::io::copy(&mut other, &mut writer)));
        drop(writer);
        let mut text = String::new();
        seen.note(kind(reader.read_to_string(&mut text)));
        seen.note(text);
    });
}

#[test]
fn a_pair_of_sockets_talks_both_ways() {
    same_on_both(|seen| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let answering = std::thread::spawn(move || {
            let mut asked = [0; 4];
            other.read_exact(&mut asked).unwrap();
            other.write_all(b"pong").unwrap();
            let mut rest = String::new();
            let ended = kind(other.read_to_string(&mut rest));
            (asked, ended, rest, kind(other.write(b"late")))
        });
        one.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        one.read_exact(&mut answer).unwrap();
        one.write_all(b"last").unwrap();
        one.shutdown(std::net::Shutdown::Write).unwrap();
        seen.note(kind(one.write(b"more")));
        seen.note(answer);
        seen.note(answering.join().unwrap());
        seen.note(kind(one.read(&mut answer)));
    });
}

#[test]
fn a_pair_of_sockets_waits_only_as_long_as_it_was_told_to() {
    same_on_both(|seen| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        seen.note(kind(one.read(&mut [0])));
        one.set_nonblocking(true).unwrap();
        seen.note(kind(one.read(&mut [0])));
        other.write_all(b"one").unwrap();
        seen.note(kind(one.read(&mut [0; 9])));
        drop(other);
        seen.note(kind(one.read(&mut [0; 9])));
        seen.note(kind(one.write(b"two")));
        seen.note(one.take_error().unwrap().is_none());
    });
}

async fn pair_of_streams(seen: Seen) {
    let (mut one, mut other) = tokio::net::UnixStream::pair().unwrap();
    let answering = tokio::spawn(async move {
        let mut all = Vec::new();
        let read = kind(other.read_to_end(&mut all).await);
        (read, all.len())
    });
    // More than any buffer holds.
    seen.note(kind(one.write_all(&vec![1; 1_000_000]).await));
    drop(one);
    seen.note(answering.await.unwrap());
}

#[test]
fn tokio_streams_through_a_pair_of_sockets() {
    same_on_both_async(pair_of_streams);
}

async fn piped(seen: Seen) {
    let (mut writer, mut reader) = tokio::net::unix::pipe::pipe().unwrap();
    let mut word = [0; 3];
    let early = tokio::time::timeout(A_WHILE, reader.read(&mut word)).await;
    seen.note(early.is_err());
    let filling = tokio::spawn(async move {
        let written = kind(writer.write_all(&vec![1; 200_000]).await);
        tokio::time::sleep(A_WHILE).await;
        written
    });
    let mut all = Vec::new();
    seen.note(kind(reader.read_to_end(&mut all).await));
    seen.note(filling.await.unwrap());
}

#[test]
fn tokio_streams_through_a_pipe() {
    same_on_both_async(piped);
}

async fn told_of_the_end(seen: Seen) {
    let (writer, mut reader) = tokio::net::unix::pipe::pipe().unwrap();
    let waiting = tokio::spawn(async move { kind(reader.read(&mut [0]).await) });
    tokio::time::sleep(A_WHILE).await;
    drop(writer);
    seen.note(waiting.await.unwrap());
    let (writer, reader) = tokio::net::unix::pipe::pipe().unwrap();
    let filled = std::iter::repeat_with(|| writer.try_write(&[0; 4096]));
    seen.note(filled.take_while(Result::is_ok).count() > 0);
    let waiting = tokio::spawn(async move {
        let ready = kind(writer.writable().await);
        (ready, kind(writer.try_write(&[0])))
    });
    tokio::time::sleep(A_WHILE).await;
    drop(reader);
    seen.note(waiting.await.unwrap());
}

#[test]
fn tokio_is_told_that_the_other_end_of_a_pipe_is_gone() {
    same_on_both_async(told_of_the_end);
}

async fn signals(seen: Seen) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut usual = signal(SignalKind::user_defined2()).unwrap();
    let told = tokio::time::timeout(A_WHILE, usual.recv()).await;
    seen.note(told.is_err());
}

#[test]
fn whoever_waits_for_a_signal_hears_of_none() {
    same_on_both_async(signals);
}
