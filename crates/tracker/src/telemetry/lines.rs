//! Lines on their way to whoever reads the log.
//!
//! Formats nothing and knows no level. Whoever brings a line never waits for whoever reads it.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Lines that wait to be written, at most so many bytes of them.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A bounded queue of lines; what does not fit is counted and dropped.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Lines that were dropped and not yet told of.
    lost: u64,
    /// Whether a line was taken out and is not yet written.
    writing: bool,
}

impl Lines {
    /// Takes a line, or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.bytes + line.len() > WAITING_BYTES_MAX {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        self.changed.notify_all();
    }

    /// Writes lines as they come, for ever; tells how many were lost once lines are taken again.
    ///
    /// `tell_lost` may push a line.
    pub(super) fn write_to(&self, out: &mut impl Write, tell_lost: impl Fn(u64)) {
        loop {
            let line = self.next();
            // A reader that went away must not end the tracker.
            let written = out.write_all(&line).is_ok();
            let mut waiting = self.waiting.lock();
            waiting.lost += u64::from(!written);
            let told = if written && waiting.lines.is_empty() {
                std::mem::take(&mut waiting.lost)
            } else {
                0
            };
            drop(waiting);
            if told > 0 {
                tell_lost(told);
            }
            self.waiting.lock().writing = false;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Box<[u8]> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                waiting.writing = true;
                return line;
            }
            self.changed.wait(&mut waiting);
        }
    }

    /// Waits until every line is written, or for so long.
    pub(super) fn flush(&self, max: Duration) {
        let mut waiting = self.waiting.lock();
        let under_way = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let _ = self.changed.wait_while_for(&mut waiting, under_way, max);
    }

    /// Everything that waits.
    #[cfg(test)]
    pub(super) fn taken(&self) -> String {
        let lines: Vec<_> = self.waiting.lock().lines.drain(..).collect();
        String::from_utf8(lines.concat()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A reader that takes a line when the test does.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.into()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn with_reader() -> (Arc<Lines>, Receiver<Vec<u8>>) {
        let lines = Arc::new(Lines::default());
        let (sender, receiver) = sync_channel(0);
        let from = lines.clone();
        thread::spawn(move || {
            from.write_to(&mut Reader(sender), |lost| from.push(format!("{lost} lost").as_bytes()));
        });
        (lines, receiver)
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (lines, reader) = with_reader();
        for line in ["a", "b", "c"] {
            lines.push(line.as_bytes());
        }
        for line in ["a", "b", "c"] {
            assert_eq!(reader.recv_timeout(LONG).unwrap(), line.as_bytes());
        }
        lines.flush(LONG);
        assert!(reader.try_recv().is_err());
    }

    #[test]
    fn nobody_waits_for_a_reader_and_it_is_told_what_it_missed() {
        let (lines, reader) = with_reader();
        let line = [b'x'; 1024];
        // One line is under way at the most, and a mebibyte waits.
        for _ in 0..2000 {
            lines.push(&line);
        }
        lines.flush(Duration::from_millis(1));
        let mut got = 0;
        let told = loop {
            let text = reader.recv_timeout(LONG).unwrap();
            if text != line {
                break String::from_utf8(text).unwrap();
            }
            got += 1;
        };
        assert!((1024..=1025).contains(&got), "{got}");
        assert_eq!(told, format!("{} lost", 2000 - got));
        lines.push(b"again");
        assert_eq!(reader.recv_timeout(LONG).unwrap(), b"again");
    }

    #[test]
    fn reader_that_went_away_ends_nothing() {
        let (lines, reader) = with_reader();
        drop(reader);
        for _ in 0..10 {
            lines.push(b"x");
        }
        lines.flush(LONG);
        let waiting = lines.waiting.lock();
        assert_eq!((waiting.lost, waiting.lines.len()), (10, 0));
    }
}
