//! Somebody who logs in and reads their mail, and hosts that send some.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::VecDeque;
use std::path::Path;

use mfa_protocol::Outcome;
use mfa_protocol::conversation::{Answer, Conversation, ConversationError, Prompt, Style};
use mfa_protocol::message::{
    Action, DeviceKind, LoginRequest, ManageRequest, NewDevice, Reply, Status,
};
use mfa_verifier::attempt::Purpose;
use mfa_verifier::config::{Config, Mode};
use mfa_verifier::login::login;
use mfa_verifier::manage::manage;

use super::{Host, NOW, device, from, nobody};

pub const HOME: &str = "192.0.2.7";
pub const ADDRESS: &str = "alice@example.org";

/// Somebody who reads their mail: `<mail>` is the code of the last letter, `<wrong>` is none.
pub struct Person<'a> {
    host: &'a Host,
    answers: VecDeque<String>,
    pub asked: Vec<Prompt>,
    pub told: Vec<(Style, String)>,
}

impl<'a> Person<'a> {
    pub fn new(host: &'a Host, answers: &[&str]) -> Self {
        let answers = answers.iter().map(ToString::to_string).collect();
        Self { host, answers, asked: Vec::new(), told: Vec::new() }
    }

    pub fn login(&mut self, user: &str, rhost: &str) -> Outcome {
        self.log_in(&from(user, rhost))
    }

    pub fn log_in(&mut self, request: &LoginRequest) -> Outcome {
        let host = self.host;
        host.world(|world| login(world, request, Purpose::Login, self))
    }

    pub fn manage(&mut self, action: Action) -> Reply {
        let host = self.host;
        let request = ManageRequest { user: Some(b"alice".to_vec()), action };
        host.world(|world| manage(world, &request, self))
    }

    pub fn prompts(&self) -> Vec<&str> {
        self.asked.iter().map(|prompt| prompt.text.as_str()).collect()
    }

    pub fn was_told(&self, text: &str) -> bool {
        self.told.iter().any(|(_, told)| told.contains(text))
    }
}

impl Conversation for Person<'_> {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        self.asked.push(prompt.clone());
        let answer = self.answers.pop_front().ok_or(ConversationError::NobodyThere)?;
        let answer = match answer.as_str() {
            "<mail>" => mailed(self.host),
            "<wrong>" => wrong(&mailed(self.host)),
            _ => answer,
        };
        Ok(Answer::Text(answer.as_str().into()))
    }

    fn tell(&mut self, style: Style, text: &str) {
        self.told.push((style, text.to_owned()));
    }
}

/// The code of the last letter.
pub fn mailed(host: &Host) -> String {
    host.letters.borrow().last().unwrap().1[..6].to_owned()
}

pub fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

pub fn letters(host: &Host) -> usize {
    host.letters.borrow().len()
}

pub fn status(host: &Host) -> Status {
    match host.manage(Action::Status, &mut nobody()) {
        Reply::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

pub fn email(text: &str) -> Config {
    let text = format!("{text}\n[email]\nfrom = \"mfa@example.org\"\n");
    Config::parse(Path::new("config.toml"), &text).unwrap()
}

pub fn mailbox() -> Action {
    Action::Add(Box::new(NewDevice {
        kind: DeviceKind::Email,
        label: None,
        secret: None,
        confirm: true,
        ..device()
    }))
}

/// A host that sends mail, where alice has an app. Its letters are as if none had been sent.
pub fn with_app(config: &str) -> Host {
    let (mut host, _) = Host::with_alice(Mode::Required);
    host.config = email(config);
    host
}

/// The same with a mailbox beside the app.
pub fn with_both(config: &str) -> Host {
    let host = with_app(config);
    let added = Person::new(&host, &[ADDRESS, "<mail>"]).manage(mailbox());
    assert!(matches!(added, Reply::Added(_)), "{added:?}");
    host.now.set(NOW + 7_200);
    host.letters.borrow_mut().clear();
    host
}

/// The same with the mailbox as the default.
pub fn by_mail(config: &str) -> Host {
    let host = with_both(config);
    let label = "e-mail".to_owned();
    assert!(matches!(
        host.manage(Action::MakeDefault { label }, &mut nobody()),
        Reply::Done { .. }
    ));
    host.letters.borrow_mut().clear();
    host
}
