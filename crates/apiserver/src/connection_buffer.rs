//! Fewer calls of the operating system for what is long. TLS reads 4 KiB at a time, and HTTP/2 writes frame by frame, 16 KiB
//! at most: a list of some megabytes would be hundreds of calls, each of which also wakes the peer.
//!
//! Neither side holds memory while nothing is under way: most connections are watches that wait.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is read at a time, in bytes.
const READ: usize = 16 << 10;
/// So much is written at a time, in bytes: four frames.
const WRITE: usize = 64 << 10;
/// A buffer no larger than this is kept, in bytes.
const KEPT: usize = 2 << 10;

/// Below TLS: reads more than it is asked for, where there is more.
pub(crate) struct ReadAhead<S> {
    stream: S,
    ahead: Vec<u8>,
    /// How much of it was asked for since.
    taken: usize,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            if buffer.remaining() >= READ {
                return Pin::new(&mut self.stream).poll_read(context, buffer);
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ];
            let mut read = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let (wanted, ahead) = read.filled().split_at(read.filled().len().min(buffer.remaining()));
            buffer.put_slice(wanted);
            self.ahead = ahead.to_vec();
            return Poll::Ready(Ok(()));
        }
        let rest = &self.ahead[self.taken..];
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.taken += length;
        if self.taken == self.ahead.len() {
            self.ahead = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Above TLS: what is written waits for more, or to be flushed.
pub(crate) struct WriteBehind<S> {
    stream: S,
    waiting: Vec<u8>,
    /// How much of it is written.
    written: usize,
}

impl<S: AsyncWrite + Unpin> WriteBehind<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), written: 0 }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.waiting.len() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.waiting[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.written = 0;
        self.waiting.clear();
        if self.waiting.capacity() > KEPT {
            self.waiting = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteBehind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteBehind<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if self.waiting.len() + length > WRITE {
            ready!(self.poll_drain(context))?;
            if length > WRITE {
                return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
            }
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|number| u8::try_from(number % 251).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_in_parts_is_read_in_parts(
            parts in proptest::collection::vec((0_usize..100_000, any::<bool>()), 0..8),
            asked in 1_usize..60_000,
            between in 1_usize..200_000,
        ) {
            let sent = bytes(parts.iter().map(|(length, _)| length).sum());
            let received = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
                let (near, far) = tokio::io::duplex(between);
                let (mut near, mut far) = (WriteBehind::new(near), ReadAhead::new(far));
                let writing = async {
                    let mut rest = sent.as_slice();
                    for (length, flush) in &parts {
                        let (part, after) = rest.split_at(*length);
                        near.write_all(part).await.unwrap();
                        if *flush {
                            near.flush().await.unwrap();
                            assert!(near.waiting.is_empty() && near.waiting.capacity() <= KEPT);
                        }
                        rest = after;
                    }
                    near.shutdown().await.unwrap();
                };
                let reading = async {
                    let mut received = Vec::new();
                    let mut buffer = vec![0; asked];
                    loop {
                        match far.read(&mut buffer).await.unwrap() {
                            0 => return received,
                            count => received.extend_from_slice(&buffer[..count]),
                        }
                    }
                };
                tokio::join!(writing, reading).1
            });
            prop_assert!(received == sent);
        }
    }
}
