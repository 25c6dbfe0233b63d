//! One client's connection: what comes in goes to the core, what the core says goes out.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::Server;
use crate::core::ConnectionId;
use crate::protocol::Reader;

/// How much is read at once, at least.
const CHUNK: usize = 16 * 1024;

/// Serves a connection until one of its sides ends it.
pub(super) async fn run(
    server: Server,
    id: ConnectionId,
    mut stream: TcpStream,
    writer: Arc<Notify>,
    payload_max: usize,
) {
    // Without it a small answer would wait for the confirmation of the one before. A socket without it works,
    // too.
    let _ = stream.set_nodelay(true);
    let (incoming, outgoing) = stream.split();
    tokio::select! {
        biased;
        () = read(&server, id, incoming, payload_max) => {}
        () = write(&server, id, outgoing, &writer) => {}
    }
    server.with(|core, now| core.disconnect(id, now));
    server.lock().writers.remove(&id);
}

/// Ends when the client has nothing more to say.
async fn read(server: &Server, id: ConnectionId, mut incoming: ReadHalf<'_>, payload_max: usize) {
    let mut reader = Reader::new(payload_max);
    loop {
        reader.buffer().reserve(CHUNK);
        match incoming.read_buf(reader.buffer()).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let wrong = server.with(|core, now| {
            loop {
                match reader.next_operation() {
                    Ok(Some(operation)) => core.handle(id, operation, now),
                    Ok(None) => return false,
                    Err(wrong) => {
                        core.handle_wrong(id, wrong, now);
                        return true;
                    }
                }
            }
        });
        if wrong {
            // The writer ends the connection when it has said why.
            return std::future::pending().await;
        }
    }
}

/// Ends when the client cannot be written to, or has been told all that it will be.
async fn write(server: &Server, id: ConnectionId, mut outgoing: WriteHalf<'_>, writer: &Notify) {
    loop {
        let output = server.lock().core.take_output(id);
        let Some(output) = output else {
            return;
        };
        if !output.bytes.is_empty() && outgoing.write_all(&output.bytes).await.is_err() {
            return;
        }
        if output.ends {
            // The client hears the reason before the end of the connection, if it listens at all.
            let _ = outgoing.shutdown().await;
            return;
        }
        if output.bytes.is_empty() {
            writer.notified().await;
        }
    }
}
