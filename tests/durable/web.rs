//! A web server that counts what it is asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers every request with its number, from 1; ends with the process.
pub struct Web {
    pub address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Web {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || serve(connection, &counter));
            }
        });
        Self { address, count }
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// One request for a connection. The path `/silent` gets no answer.
fn serve(mut connection: TcpStream, count: &AtomicUsize) {
    let mut request = Vec::new();
    let mut byte = [0];
    // The bodies of these tests fit behind their heads, and nobody reads them.
    while !request.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
    if request.windows(7).any(|part| part == b"/silent") {
        let _ = connection.read_to_end(&mut Vec::new());
        return;
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{number}",
        number.to_string().len()
    );
    let _ = connection.write_all(answer.as_bytes());
}
