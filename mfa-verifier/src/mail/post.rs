//! Letters that are sent while whoever wrote them goes on.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Configured, Letter, MailError, Mailer};
use crate::audit::{Line, Log, Severity, Syslog};
use crate::config::EmailConfig;

/// Bytes of a thread's stack: what composes and talks is another program.
const STACK: usize = 256 * 1024;

/// Letters of this process that are on their way.
static UNDERWAY: Underway = Underway { letters: Mutex::new(0), none_left: Condvar::new() };

struct Underway {
    letters: Mutex<usize>,
    none_left: Condvar,
}

/// A letter that may still be on its way.
#[derive(Debug)]
pub struct Posted(Receiver<Result<(), MailError>>);

impl Posted {
    /// One of which it is known what became of it.
    #[must_use]
    pub fn settled(sent: Result<(), MailError>) -> Self {
        let (told, posted) = mpsc::channel();
        // The other end is here.
        let _ = told.send(sent);
        Self(posted)
    }

    /// Whether it has come out by now that it was not sent. Says so once.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.try_recv().is_ok_and(|sent| sent.is_err())
    }
}

pub(super) fn post(config: EmailConfig, letter: Option<Letter>, line: Line) -> Posted {
    let (told, posted) = mpsc::channel();
    let leaving = Leaving::begin();
    let send = move || {
        let Some(letter) = letter else { return };
        let sent = Configured(&config).send(&letter);
        let (severity, line) = note(line, &sent);
        // Whoever sees the line may count on it that the login knows. Nobody may want to know any more.
        let _ = told.send(sent);
        Syslog::connect().write(severity, &line);
        drop(leaving);
    };
    match thread::Builder::new().name("post".to_owned()).stack_size(STACK).spawn(send) {
        Ok(_) => Posted(posted),
        Err(error) => Posted::settled(Err(MailError::Io(error))),
    }
}

/// A line of its own in the log: whoever asked for the letter may be gone by now.
fn note(line: Line, sent: &Result<(), MailError>) -> (Severity, String) {
    match sent {
        Ok(()) => (Severity::Info, line.value("outcome", Some("done")).finish()),
        Err(error) => {
            let line = line.value("outcome", Some("failed"));
            let line = line.quoted("error", &error.to_string()).quoted("hint", &error.hint());
            (Severity::Error, line.finish())
        }
    }
}

/// Waits until no letter is on its way, but no longer than `patience`. Who ends before that leaves a mailer
/// behind that nobody bounds.
pub fn all_are_through(patience: Duration) {
    let letters = UNDERWAY.letters.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = UNDERWAY.none_left.wait_timeout_while(letters, patience, |letters| *letters > 0);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}

/// Counts a letter for as long as it is there.
struct Leaving;

impl Leaving {
    fn begin() -> Self {
        *UNDERWAY.letters.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut letters = UNDERWAY.letters.lock().unwrap_or_else(PoisonError::into_inner);
        *letters = letters.saturating_sub(1);
        if *letters == 0 {
            UNDERWAY.none_left.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_letter_is_said_once() {
        let failed = Posted::settled(Err(MailError::Off));
        assert!(failed.has_failed());
        assert!(!failed.has_failed());
        assert!(!Posted::settled(Ok(())).has_failed());
    }

    #[test]
    fn nothing_is_on_its_way_where_nothing_was_to_be_sent() {
        let posted = post(EmailConfig::default(), None, Line::new());
        all_are_through(Duration::from_secs(60));
        assert!(!posted.has_failed());
    }
}
