//! A web page that calls a service over a WebSocket. Run it and open the page that it names.

use daffi::prelude::*;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[callback]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[callback]
fn greet(name: &str, #[default("Hello")] greeting: &str) -> String {
    format!("{greeting}, {name}!")
}

#[callback]
fn divide(a: i64, b: i64) -> Result<i64, RemoteError> {
    a.checked_div(b).ok_or_else(|| RemoteError::new("ValueError", "division by zero"))
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address, pages] = daffi_examples::options([("listen", "tcp://127.0.0.1:5001"), ("pages", "127.0.0.1:8080")]);
    // A TCP endpoint takes WebSockets, too. A page from another host than this one would need
    // `.allow_origin("https://..")`.
    let service = Service::builder("rpc-service").callbacks(callbacks![add, greet, divide]).bind(&address).await?;
    let websocket = service.endpoints()[0].as_str().replace("tcp://", "ws://");
    println!("listening on {}", service.endpoints()[0]);

    let pages = TcpListener::bind(pages).await?;
    println!("open http://{}/?daffi={websocket}", pages.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = pages.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    service.join().await?; // until SIGINT or SIGTERM
    Ok(())
}

/// Answers one request for a file; any web server would do.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = String::new();
    BufReader::new(&mut stream).read_line(&mut request).await?;
    let path = request.split([' ', '?']).nth(1);
    let (status, kind, file) = match path {
        Some("/") => ("200 OK", "text/html", include_str!("../web/index.html")),
        Some("/daffi.js") => ("200 OK", "text/javascript", include_str!("../web/daffi.js")),
        _ => ("404 Not Found", "text/plain", "there is no such file\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        file.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(file.as_bytes()).await
}
