//! A client that speaks as much HTTP as the tests need: one request on one connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of the server at this address.
pub(crate) struct Http(pub(crate) SocketAddr);

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = headers.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

impl Http {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let (status, head, body) = self.fetch(path, headers).await;
        let json = serde_json::from_str(&body).unwrap();
        Answer { status, head, json }
    }

    /// The body of an answer that is no JSON.
    pub(crate) async fn text(&self, path: &str, headers: &[(&str, &str)]) -> String {
        self.fetch(path, headers).await.2
    }

    async fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let mut head = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.request(head, "").await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let (status, head, body) = self.request(head, &body.to_string()).await;
        let json = serde_json::from_str(&body).unwrap();
        Answer { status, head, json }
    }

    /// Asks with any method.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, head, body) = self.request(head, &body).await;
        let json = serde_json::from_str(&body).unwrap();
        Answer { status, head, json }
    }

    async fn request(&self, head: String, body: &str) -> (u16, String, String) {
        let length = body.len();
        let request = format!(
            "{head}host: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }
}
