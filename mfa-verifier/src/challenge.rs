//! A challenge: the question for a code, and what may be answered to it beside one.
//!
//! `?` lists the ways to give a code and lets one be chosen. Where this host sends mail, Enter alone has a
//! code sent to the default device, if that is one that codes are sent to. Neither is an attempt: nothing
//! is judged and nothing charged, and there are [`MOST_WISHES`] of both together.
//!
//! No mail is sent before the first answer. A request without a code may be carried out once more by
//! another verifier until then ([`mfa_protocol::Request::begins_with_a_question`]), `forward_pass` answers
//! the first question with the code that it kept, and sshd's password method tries the password there:
//! none of that should send anything.
//!
//! Whoever is asked is told the same, and a decoy is written to like a record, so that neither words nor
//! time tell who has a mailbox, or who is known at all. So the mail is not waited for. That it failed is
//! told with the next answer, and only to who was to have it; see SECURITY.md.

use std::io;

use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, Style};

use crate::attempt::Subject;
use crate::audit::{Line, Severity, timestamp};
use crate::config::Methods;
use crate::factor::mail_code::{LENGTH, NewCode, NotSent, Sources, Use};
use crate::factor::{Method, Typed};
use crate::lockout::Barred;
use crate::mail::{Address, Letter, MailError, Occasion, Posted};
use crate::policy::Situation;
use crate::reason::Reason;
use crate::record::{Device, UserRecord};
use crate::store::{Store, StoreError};
use crate::ways::{Way, Ways};
use crate::words::{offer, on_its_way};
use crate::world::World;

/// Answers to one challenge that ask for something else than to be judged; the next one is judged.
const MOST_WISHES: usize = 6;

/// What is told where the mail was not sent.
const UNSENT: &str =
    "The code could not be sent. Type ? for another way to give one, or ask the administrator.";

/// What somebody is asked, and who.
pub(crate) struct Challenge<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) store: &'a dyn Store,
    pub(crate) subject: &'a Subject,
    pub(crate) situation: &'a Situation<'a>,
}

/// What came of the list.
enum Choice<'a> {
    Way(&'a Way),
    /// A code was given in place of a choice.
    Answer(Answer),
    Nothing,
}

impl Challenge<'_> {
    /// Asks until there is an answer that is to be judged.
    pub(crate) fn ask(
        &self,
        first: Prompt,
        conversation: &mut dyn Conversation,
    ) -> Result<Answer, ConversationError> {
        let ways = Ways::of(self.subject.record(), self.methods());
        let mailed = self.methods().email;
        if mailed {
            conversation.tell(Style::Info, offer(self.world));
        }
        let (mut prompt, mut mailbox) = (first, ways.default(self.subject.record()));
        let mut posted: Option<Posted> = None;
        let mut wishes = 0;
        loop {
            let answer = conversation.ask(&prompt)?;
            say_unsent(posted.as_ref(), conversation);
            let Answer::Text(text) = &answer else { return Ok(answer) };
            if wishes == MOST_WISHES {
                return Ok(answer);
            }
            wishes += 1;
            let text = text.expose().trim_ascii();
            if text == b"?" {
                match choose(&ways, conversation)? {
                    Choice::Way(way) => {
                        prompt.text = way.prompt();
                        if !is_sent(way) {
                            continue;
                        }
                        mailbox = Some(way);
                    }
                    Choice::Answer(answer) => {
                        say_unsent(posted.as_ref(), conversation);
                        return Ok(answer);
                    }
                    Choice::Nothing => continue,
                }
            } else if !(mailed && text.is_empty()) {
                return Ok(answer);
            }
            posted = Some(self.post(mailbox));
            conversation.tell(Style::Info, &on_its_way(self.world));
        }
    }

    /// What policy accepts, and this host can do.
    fn methods(&self) -> Methods {
        let methods = self.world.config.policy.methods;
        let mailed = methods.email && self.world.config.email.from.is_some();
        Methods { email: mailed, ..methods }
    }

    /// Has a code sent, if this is a way by which one is; else it only takes as long.
    fn post(&self, way: Option<&Way>) -> Posted {
        let device = way.and_then(|way| self.device(way));
        match self.note(device) {
            Ok(letter) => self.world.mailer.post(letter, self.line(device)),
            Err(error) => {
                let line = self.line(device).value("outcome", Some("failed"));
                let line = line.quoted("error", &error.to_string());
                self.world.log.write(Severity::Error, &line.finish());
                Posted::settled(Err(MailError::Io(io::Error::other(error.to_string()))))
            }
        }
    }

    /// The device of the user's own that codes are sent to by this way.
    fn device(&self, way: &Way) -> Option<&Device> {
        let Way::Device { id, .. } = way else { return None };
        let devices = &self.subject.own_record()?.devices;
        devices.iter().find(|device| device.id == *id && device.address().is_some())
    }

    /// Notes a new code in the record, and writes the letter with it.
    fn note(&self, device: Option<&Device>) -> Result<Option<Letter>, UnnotedError> {
        let address = device.and_then(Device::address);
        let email = &self.world.config.email;
        let lifetime = u64::from(email.code_lifetime) * 60;
        let code = NewCode::new(LENGTH, Use::Login(address.map_or("", Address::as_str)))?;
        let noted = self.subject.update(self.store, |record| {
            let now = (self.world.now)();
            let address = address.filter(|address| self.may_be_sent_to(record, address));
            Some(address.map(|address| {
                self.admit(record, now)?;
                let from = self.sources(record, now);
                record.mail_codes.note_sent(&code, lifetime, from, email.per_hour, now)?;
                Ok((address.clone(), now))
            }))
        })?;
        match noted.flatten() {
            Some(Ok((address, now))) => {
                let at = Occasion {
                    host: self.world.hostname,
                    user: self.situation.user.unwrap_or_default(),
                    service: self.situation.service,
                    source: &self.situation.from_where(),
                    now,
                };
                Ok(Some(Letter::login_code(&address, &code.code, lifetime, &at)))
            }
            Some(Err(why)) => {
                self.say_not_sent(device, why);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Whether the record that is there now has a device with this address.
    fn may_be_sent_to(&self, record: &UserRecord, address: &Address) -> bool {
        let enabled = record.devices.iter().filter(|device| !device.disabled);
        self.methods().email && enabled.filter_map(Device::address).any(|one| one == address)
    }

    /// No code is sent to where none would be judged.
    fn admit(&self, record: &UserRecord, now: u64) -> Result<(), Withheld> {
        let rules = &self.world.config.lockout;
        Ok(record.lockout.admit_otp(self.situation.source, now, rules)?)
    }

    /// What the mail is counted with.
    fn sources(&self, record: &UserRecord, now: u64) -> Sources {
        let rules = &self.world.config.lockout;
        Sources::of(self.situation.source, &record.lockout, now, rules)
    }

    fn say_not_sent(&self, device: Option<&Device>, why: Withheld) {
        let (reason, until) = match why {
            Withheld::Source(Barred::Until(until)) | Withheld::Mail(NotSent::Barred(until)) => {
                (Reason::Locked, Some(until))
            }
            Withheld::Source(Barred::Disabled) => (Reason::TooManyFailures, None),
            Withheld::Mail(NotSent::TooMany(until)) => (Reason::TooManyMails, Some(until)),
        };
        let line = self.line(device).value("outcome", Some("refused"));
        let line = line.value("reason", Some(reason.word()));
        let line = match until {
            Some(until) => line.value("not_before", Some(&timestamp(until))),
            None => line,
        };
        self.world.log.write(Severity::Notice, &line.finish());
    }

    fn line(&self, device: Option<&Device>) -> Line {
        let line = Line::new()
            .value("action", Some("send_code"))
            .quoted("user", self.situation.user.unwrap_or_default())
            .value("service", Some(self.situation.service))
            .value("rhost", self.situation.address.map(|address| address.to_string()).as_deref());
        match device {
            Some(device) => line.quoted("device", &device.label),
            None => line,
        }
    }
}

/// Tells, once, that the mail was not sent, if that has come out by now.
fn say_unsent(posted: Option<&Posted>, conversation: &mut dyn Conversation) {
    if posted.is_some_and(Posted::has_failed) {
        conversation.tell(Style::Error, UNSENT);
    }
}

/// Shows the list, and asks for one of it.
fn choose<'a>(
    ways: &'a Ways,
    conversation: &mut dyn Conversation,
) -> Result<Choice<'a>, ConversationError> {
    conversation.tell(Style::Info, &ways.list());
    let answer = conversation.ask(&Prompt::visible("Which one, by number or name? "))?;
    let Answer::Text(text) = &answer else { return Ok(Choice::Answer(answer)) };
    if let Some(way) = text.expose_str().and_then(|text| ways.choose(text.trim())) {
        return Ok(Choice::Way(way));
    }
    match Typed::of(text.expose()) {
        Typed::OneTimeCode(_) | Typed::BackupCode(_) | Typed::Bypass(_) | Typed::Token(_) => {
            Ok(Choice::Answer(answer))
        }
        Typed::Empty | Typed::NotAscii | Typed::Misshapen => {
            conversation.tell(Style::Error, "That is none of them.");
            Ok(Choice::Nothing)
        }
    }
}

fn is_sent(way: &Way) -> bool {
    matches!(way, Way::Device { method: Method::Email, .. })
}

/// Why no code is sent, though there is an address.
#[derive(Debug, Clone, Copy)]
enum Withheld {
    Source(Barred),
    Mail(NotSent),
}

impl From<Barred> for Withheld {
    fn from(barred: Barred) -> Self {
        Self::Source(barred)
    }
}

impl From<NotSent> for Withheld {
    fn from(not_sent: NotSent) -> Self {
        Self::Mail(not_sent)
    }
}

/// Why no code could be noted.
#[derive(Debug, thiserror::Error)]
enum UnnotedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}
