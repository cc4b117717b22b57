//! Requests written to a connection as they stand, by nothing that would mend or refuse them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use kube::client::ConfigExt as _;
use kube::config::AuthInfo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::case::Case;

/// Where a server is and how it is reached.
pub(crate) struct Wire {
    host: String,
    port: u16,
    connector: TlsConnector,
    /// With no certificate of a client.
    without_credentials: TlsConnector,
}

/// An answer as it was read.
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// To the server that a configuration of a client names.
    pub(crate) fn new(config: &kube::Config) -> Self {
        let connector = |config: &kube::Config| {
            let mut tls = config.rustls_client_config().expect("certificates of a client");
            tls.alpn_protocols = Vec::new();
            TlsConnector::from(Arc::new(tls))
        };
        let mut without_credentials = config.clone();
        without_credentials.auth_info = AuthInfo::default();
        Self {
            host: config.cluster_url.host().unwrap_or_default().to_owned(),
            port: config.cluster_url.port_u16().unwrap_or_default(),
            connector: connector(config),
            without_credentials: connector(&without_credentials),
        }
    }

    /// Sends a request over a connection of its own and reads the answer.
    pub(crate) async fn send(&self, case: &Case, with_credentials: bool) -> Result<Answer, String> {
        let connector = if with_credentials { &self.connector } else { &self.without_credentials };
        self.exchange(connector, case).await.map_err(|error| error.to_string())
    }

    async fn exchange(&self, connector: &TlsConnector, case: &Case) -> std::io::Result<Answer> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        let mut stream = connector.connect(name, stream).await?;
        // Who refuses a request may answer before it has read all of it.
        let written = stream.write_all(&self.bytes(case)).await;
        let _ = stream.flush().await;
        let mut read = Vec::new();
        let end = loop {
            if let Some(answer) = Answer::parse(&read, case.method == "HEAD", false) {
                return Ok(answer);
            }
            match stream.read_buf(&mut read).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        match Answer::parse(&read, case.method == "HEAD", true) {
            Some(answer) => Ok(answer),
            None => Err(written.and(end).err().unwrap_or_else(|| std::io::Error::other("the connection ended"))),
        }
    }

    fn bytes(&self, case: &Case) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", case.method, case.path);
        let given = |name: &str| case.headers.iter().any(|(header, _)| *header == name);
        if !given("host") {
            let _ = write!(head, "host: {}:{}\r\n", self.host, self.port);
        }
        if !given("connection") {
            head.push_str("connection: close\r\n");
        }
        if !case.body.is_empty() {
            let _ = write!(head, "content-length: {}\r\n", case.body.len());
        }
        for (name, value) in &case.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        [head.as_bytes(), &case.body].concat()
    }
}

impl Answer {
    /// The answer, if it is whole; `ended` if no more can come.
    fn parse(read: &[u8], head_only: bool, ended: bool) -> Option<Self> {
        let end = read.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let rest = &read[end + 4..];
        let mut lines = head.split("\r\n");
        let code: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        // `100 Continue` announces the answer.
        if code == 100 {
            return Self::parse(rest, head_only, ended);
        }
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            headers.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        }
        let first = |name: &str| headers.get(name).and_then(|values| values.first());
        let length = first("content-length").and_then(|length| length.parse::<usize>().ok());
        let body = if head_only || matches!(code, 101 | 204 | 304) {
            Vec::new()
        } else if first("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
            chunks(rest).or_else(|| ended.then(Vec::new))?
        } else {
            match length {
                Some(length) if rest.len() >= length => rest[..length].to_vec(),
                _ if ended => rest.to_vec(),
                _ => return None,
            }
        };
        Some(Self { code, headers, body })
    }
}

/// A body in chunks, if it is whole.
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + length)?;
        body.extend_from_slice(chunk);
        if length == 0 {
            return Some(body);
        }
        rest = rest.get(end + 2 + length + 2..)?;
    }
}
