//! The answering end, in a process of its own.

use std::{
    env,
    process::{Stdio, id},
};

use daffi::Service;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, UnixListener},
    process::{self, Command},
};

use crate::{
    Result,
    scenario::{Runtime, Subject, Transport},
};

/// A server process; ended when dropped.
pub(crate) struct Child {
    _process: process::Child,
    pub(crate) pid: u32,
    pub(crate) transport: Transport,
    /// A host and port, or a path.
    pub(crate) address: String,
}

impl Child {
    pub(crate) async fn start(subject: Subject, transport: Transport, runtime: Runtime) -> Result<Self> {
        let address = match transport {
            Transport::Tcp => "127.0.0.1:0".to_owned(),
            Transport::Unix => env::temp_dir().join(format!("daffi-bench-{subject}-{}", id())).display().to_string(),
        };
        let mut process = Command::new(env::current_exe()?)
            .args(["serve", &subject.to_string(), &transport.to_string(), &runtime.to_string(), &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process.id().ok_or("the server process ended at once")?;
        let out = process.stdout.take().ok_or("the server process has no stdout")?;
        let address = BufReader::new(out).lines().next_line().await?.ok_or("the server process ended at once")?;
        Ok(Self { _process: process, pid, transport, address })
    }
}

/// Serves until standard input ends.
pub(crate) fn serve(subject: Subject, transport: Transport, runtime: Runtime, address: &str) -> Result<()> {
    runtime.build()?.block_on(async {
        match (subject, transport) {
            (Subject::Raw, Transport::Tcp) => {
                let listener = TcpListener::bind(address).await?;
                println!("{}", listener.local_addr()?);
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        if stream.set_nodelay(true).is_ok() {
                            tokio::spawn(echo(stream));
                        }
                    }
                });
                until_stdin_ends().await;
            }
            (Subject::Raw, Transport::Unix) => {
                let listener = UnixListener::bind(address)?;
                println!("{address}");
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(echo(stream));
                    }
                });
                until_stdin_ends().await;
                std::fs::remove_file(address)?;
            }
            (Subject::Daffi, _) => {
                let service = Service::builder("echo")
                    .callback_fn("echo", |payload: bytes::Bytes| async move { payload })
                    .bind(&format!("{transport}://{address}"))
                    .await?;
                println!("{}", service.endpoints()[0].address());
                until_stdin_ends().await;
                service.stop().await;
            }
        }
        Ok(())
    })
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// The parent holds the other end: it closes when the parent ends, however that happens.
async fn until_stdin_ends() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error ends the server as well as the end does.
        let _ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.send(())
    });
    let _closed = end.await;
}
