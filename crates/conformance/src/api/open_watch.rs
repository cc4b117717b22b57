//! A watch that is read in the background, line by line, while the scenario goes on.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::runner::parse;
use super::scenario::Step;

/// How long a step waits for its events, in seconds, unless it says otherwise.
const EVENT_SECONDS: u64 = 20;

/// The answer to a watch, as far as it came.
pub(super) struct OpenWatch {
    lines: mpsc::UnboundedReceiver<Value>,
}

impl OpenWatch {
    /// Reads the lines of an answer until it ends or nobody listens any more.
    pub(super) fn read(mut body: Body) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut buffered: Vec<u8> = Vec::new();
            loop {
                let frame = tokio::select! {
                    frame = body.frame() => frame,
                    () = sender.closed() => return,
                };
                let Some(Ok(frame)) = frame else { break };
                let Ok(data) = frame.into_data() else { continue };
                buffered.extend_from_slice(&data);
                while let Some(end) = buffered.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffered.drain(..=end).collect();
                    if sender.send(parse(&Bytes::from(line))).is_err() {
                        return;
                    }
                }
            }
            if !buffered.is_empty() {
                let _ = sender.send(parse(&Bytes::from(buffered)));
            }
        });
        Self { lines: receiver }
    }

    /// `{"events": [...], "end": "open" | "closed" | "silent"}`: so many events as the step wants, or fewer.
    pub(super) async fn events(&mut self, step: &Step) -> Value {
        let wanted = step.events.unwrap_or(usize::MAX);
        let deadline = Instant::now() + Duration::from_secs(step.seconds.unwrap_or(EVENT_SECONDS));
        let mut events = Vec::new();
        let end = loop {
            if events.len() == wanted {
                break "open";
            }
            match timeout_at(deadline, self.lines.recv()).await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break "closed",
                Err(_) => break "silent",
            }
        };
        json!({"events": events, "end": end})
    }
}
