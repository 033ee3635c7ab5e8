//! `add`, and the guided enrolment.

use std::path::Path;

use mfa_protocol::message::{Action, DeviceKind, NewDevice};
use mfa_protocol::{ConversationError, Reply};
use nix::unistd::geteuid;

use crate::picture::Format;
use crate::problem::{DONE, Problem};
use crate::session::{Session, printed};
use crate::terminal::unanswered;
use crate::{cli, input, json, text};

/// What to do where a question needs a terminal.
fn use_a_terminal() -> &'static str {
    if geteuid().is_root() {
        "use a terminal; for provisioning: mfa-setup add totp --no-confirm --yes"
    } else {
        "use a terminal, or ask the administrator, who can enrol others without one"
    }
}

impl Session<'_> {
    /// The guided enrolment of an authenticator app.
    pub fn guide(&mut self) -> Result<u8, Problem> {
        if !self.terminal.is_there() {
            // Nothing else answers its questions, so they are not begun.
            return Err(unanswered(ConversationError::NobodyThere, use_a_terminal()));
        }
        self.add(guided(), None)
    }

    /// `add`.
    pub fn add_device(&mut self, add: &cli::Add) -> Result<u8, Problem> {
        let picture = match &add.qr {
            None => None,
            Some(path) => Some((path.as_path(), Format::of(path)?)),
        };
        let secret = add.secret_file.as_deref().map(input::key).transpose()?;
        let device = NewDevice {
            kind: add.kind.into(),
            label: add.label.clone(),
            algorithm: add.algorithm.map(Into::into),
            digits: add.digits,
            period: add.period,
            counter: add.counter,
            secret,
            confirm: !add.no_confirm,
            guided: false,
            ..guided()
        };
        self.add(device, picture)
    }

    /// `device.terminal` and `device.show` are filled in here.
    fn add(
        &mut self,
        mut device: NewDevice,
        picture: Option<(&Path, Format)>,
    ) -> Result<u8, Problem> {
        device.terminal = self.terminal.shape();
        // A person has to scan it before a code can be right; a program reads it from the answer.
        // Without a terminal it is in the answer as well, rather than on standard error.
        device.show = self.terminal.is_there() && (device.confirm || !self.global.json);
        let shown = device.show;
        let picture = match picture {
            None => None,
            Some((path, format)) => Some((self.create(path)?, format)),
        };
        let reply = self.manage(Action::Add(Box::new(device)), use_a_terminal())?;
        let Reply::Added(added) = reply else { return Err(Problem::unexpected_reply()) };
        // Drawn before the answer is given, so that both can still be told of a failure.
        let pictured =
            picture.map_or(Ok(()), |(file, format)| file.finish(&format.draw(added.uri.expose())?));
        self.answer(&json::AddedAnswer::from(&added), || text::added(&added, shown))
            .and(pictured)
            .map_err(|problem| {
                let done = format!("device \"{}\" is added", printed(added.label.as_ref()));
                problem.after(&done, "see its key with show-key, or remove it and add it again")
            })
            .map(|()| DONE)
    }
}

/// The guided enrolment of an authenticator app; the start of any other.
fn guided() -> NewDevice {
    NewDevice {
        kind: DeviceKind::Totp,
        label: None,
        algorithm: None,
        digits: None,
        period: None,
        counter: None,
        secret: None,
        confirm: true,
        guided: true,
        show: true,
        terminal: mfa_protocol::message::Terminal { columns: 80, utf8: false },
    }
}
