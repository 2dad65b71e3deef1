//! Servers whose answers a test decides, in the place of real ones.

use crate::world::{Dialled, Stream, StreamDial, World};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// A world in which each server answers by `answer`: it is called with the endpoint and the command, its words with a space between them.
pub(super) fn world<F>(answer: impl Fn(String, String) -> F + Send + Sync + 'static) -> World
where
    F: Future<Output = String> + Send + 'static,
{
    let (world, answer) = (World::here(), Arc::new(answer));
    let background = world.clone();
    world.with_streams(StreamDial(Arc::new(move |endpoint: &str| -> Dialled {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (endpoint, answer) = (endpoint.to_owned(), Arc::clone(&answer));
        background.spawn(async move {
            let mut stream = BufReader::new(theirs);
            while let Some(command) = read(&mut stream).await {
                let answer = answer(endpoint.clone(), command).await;
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn Stream>) })
    })))
}

/// A list of texts, as a server sends it.
pub(super) fn texts(texts: &[&str]) -> String {
    let each = texts.iter().map(|text| format!("${}\r\n{text}\r\n", text.len()));
    format!("*{}\r\n{}", texts.len(), each.collect::<String>())
}

/// What a sentinel answers to a question about the primary.
pub(super) fn sentinel(command: &str, host: &str, epoch: u64) -> String {
    match command.split(' ').nth(1) {
        Some("GET-MASTER-ADDR-BY-NAME") => texts(&[host, "1"]),
        _ => texts(&["config-epoch", &epoch.to_string()]),
    }
}

/// One command; nothing when the client is gone.
async fn read(stream: &mut BufReader<DuplexStream>) -> Option<String> {
    let count = number(stream).await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(stream).await? + "\r\n".len()];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Some(words.join(" "))
}

/// How many words follow, or bytes of one.
async fn number(stream: &mut BufReader<DuplexStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}
