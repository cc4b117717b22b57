//! Decoding `text/event-stream` (WHATWG HTML, section 9.2) as far as the REST API uses it.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerSentEvent {
    /// `event:`, empty where the server named none.
    pub name: String,
    /// `data:`, several lines joined by line feeds.
    pub data: String,
}

/// Collects bytes and gives whole events.
#[derive(Debug, Default)]
pub struct EventStreamDecoder {
    rest: Vec<u8>,
    current: ServerSentEvent,
    has_data: bool,
}

impl EventStreamDecoder {
    /// Takes the next bytes of the stream; returns the events they complete. Bytes that are no UTF-8 become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<ServerSentEvent> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\n', '\r']), &mut events);
        }
        events
    }

    fn line(&mut self, line: &str, events: &mut Vec<ServerSentEvent>) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.current);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.current.name),
            "data" => {
                if self.has_data {
                    self.current.data.push('\n');
                }
                self.current.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_arrive() {
        let stream = b": hello\n\nevent: status\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\n\r\nevent: half";
        let whole = EventStreamDecoder::default().push(stream);
        assert_eq!(
            whole,
            [
                ServerSentEvent { name: "status".into(), data: "{\"a\":\n1}".into() },
                ServerSentEvent { name: String::new(), data: "x".into() },
            ]
        );
        let mut decoder = EventStreamDecoder::default();
        let pieces: Vec<_> = stream.iter().flat_map(|byte| decoder.push(&[*byte])).collect();
        assert_eq!(pieces, whole);
    }
}
