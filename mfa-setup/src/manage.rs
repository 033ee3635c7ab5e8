//! Looking at a record and changing it.

use std::ffi::OsStr;
use std::path::Path;

use mfa_protocol::Reply;
use mfa_protocol::message::{Action, NewToken};
use zeroize::Zeroizing;

use crate::problem::{DONE, Problem, UNUSABLE};
use crate::session::{Session, printed};
use crate::{cli, json, page, text, time};

impl Session<'_> {
    /// `status`.
    pub fn status(&mut self) -> Result<u8, Problem> {
        let user = self.global.user.clone();
        self.status_of(user.as_deref())
    }

    /// `show`.
    pub fn show(&mut self, user: &OsStr) -> Result<u8, Problem> {
        self.status_of(Some(user))
    }

    fn status_of(&mut self, user: Option<&OsStr>) -> Result<u8, Problem> {
        match self.manage_for(user, Action::FullStatus, "use a terminal")? {
            Reply::FullStatus(status) => {
                self.answer(&json::StatusAnswer::from(&*status), || text::status(&status))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `users`, which come in pages.
    pub fn users(&mut self) -> Result<u8, Problem> {
        let mut users = Vec::new();
        let mut after = None;
        loop {
            let reply = self.manage_for(None, Action::Users { after }, "use a terminal")?;
            let Reply::Users(page) = reply else { return Err(Problem::unexpected_reply()) };
            users.extend(page.users);
            if page.next.is_none() {
                break;
            }
            if page.next <= after {
                // That would never end.
                return Err(Problem::unexpected_reply());
            }
            after = page.next;
        }
        self.answer(&json::UsersAnswer::new(&users), || text::users(&users))?;
        Ok(DONE)
    }

    /// `codes`.
    pub fn codes(&mut self) -> Result<u8, Problem> {
        match self.manage(Action::Codes, "use a terminal")? {
            Reply::Codes { user, codes } => {
                let answer = json::CodesAnswer::new(&user, &codes);
                self.answer(&answer, || text::codes(&user, &codes))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `codes new`.
    pub fn new_codes(&mut self, output: Option<&Path>) -> Result<u8, Problem> {
        let whose = printed(&self.user()?);
        let question = format!("Make new backup codes for {whose}? The old ones end.");
        self.terminal.confirm(&question)?;
        let file = output.map(|path| self.create(path)).transpose()?;
        let reply = self.manage(Action::NewCodes, "use a terminal").map_err(|problem| Problem {
            // The answer may have been lost, and not the question.
            hint: if problem.exit == UNUSABLE {
                format!("{}\nsee whether the old codes have ended: mfa-setup codes", problem.hint)
            } else {
                problem.hint
            },
            ..problem
        })?;
        let Reply::NewCodes { user, backup_codes } = reply else {
            return Err(Problem::unexpected_reply());
        };
        let written = match file {
            None => Ok(None),
            Some(file) => {
                let page = page::backup_codes(&user, &page::host(), time::now(), &backup_codes);
                file.finish(page.as_bytes()).map(|()| output)
            }
        };
        // A page that could not be written is no reason to lose the codes: they are shown then.
        let told =
            self.answer(&json::NewCodesAnswer::new(&user, &backup_codes), || {
                match written.as_ref().ok().copied().flatten() {
                    Some(path) => {
                        let (user, path) = (printed(user.as_ref()), printed(path.as_os_str()));
                        Zeroizing::new(format!("The backup codes of {user} are in {path}.\n"))
                    }
                    None => text::new_codes(&user, &backup_codes),
                }
            });
        told.and(written.map(|_| DONE)).map_err(|problem| {
            problem.after("the old codes have ended", "make new ones again once that is mended")
        })
    }

    /// `show-key`.
    pub fn show_key(&mut self, label: &str) -> Result<u8, Problem> {
        match self.manage(Action::ShowKey { label: label.to_owned() }, "use a terminal")? {
            Reply::Key(key) => {
                self.answer(&json::KeyAnswer::from(&key), || text::key(&key))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `invite`.
    pub fn invite(&mut self, invite: &cli::Invite) -> Result<u8, Problem> {
        let action = Action::Invite { lifetime: invite.lifetime.as_secs() };
        match self.manage_for(Some(&invite.name), action, "use a terminal")? {
            Reply::Invited { user, code, expires } => {
                let answer = json::InvitedAnswer::new(&user, &code, expires);
                self.answer(&answer, || text::invited(&user, &code, expires))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `token new`.
    pub fn new_token(&mut self, new: &cli::NewToken) -> Result<u8, Problem> {
        let action = Action::NewToken(Box::new(NewToken {
            name: new.name.clone(),
            lifetime: new.expires.as_secs(),
            networks: new.from.clone(),
            services: new.service.clone(),
        }));
        match self.manage(action, "use a terminal")? {
            Reply::TokenMade(made) => {
                self.answer(&json::MadeTokenAnswer::from(&*made), || text::token_made(&made))
                    .map_err(|problem| {
                        let made = format!("token \"{}\" is made", printed(new.name.as_ref()));
                        problem.after(&made, "revoke it, and make it again once that is mended")
                    })?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `token list`.
    pub fn tokens(&mut self) -> Result<u8, Problem> {
        match self.manage(Action::Tokens, "use a terminal")? {
            Reply::Tokens { user, tokens } => {
                let answer = json::TokensAnswer::new(&user, &tokens);
                self.answer(&answer, || text::tokens(&user, &tokens))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `remembered`.
    pub fn remembered(&mut self) -> Result<u8, Problem> {
        match self.manage(Action::Remembered, "use a terminal")? {
            Reply::Remembered { user, logins } => {
                let answer = json::RememberedAnswer::new(&user, &logins);
                self.answer(&answer, || text::remembered(&user, &logins))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `init`.
    pub fn initialise(&mut self) -> Result<u8, Problem> {
        match self.manage_for(None, Action::Initialise, "use a terminal")? {
            Reply::Initialised(it) => {
                self.answer(&json::InitialisedAnswer::from(&it), || text::initialised(&it))?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `remove`, `default`, `token revoke`, `forget`, `unlock`, `reset`, `enable` and `test --resync`: what is answered by no more
    /// than that it is done. `what` is to be confirmed first.
    pub fn change(&mut self, what: Option<&str>, action: Action) -> Result<u8, Problem> {
        if let Some(what) = what {
            let whose = printed(&self.user()?);
            self.terminal.confirm(&format!("{what} of {whose}?"))?;
        }
        let reply = self.manage(action, "use a terminal")?;
        self.done(reply)
    }

    /// The answer where there is no more to be said.
    pub fn done(&mut self, reply: Reply) -> Result<u8, Problem> {
        let Reply::Done { user } = reply else { return Err(Problem::unexpected_reply()) };
        self.say_done(&user)
    }

    /// The same, of what was done for `user`.
    pub fn say_done(&mut self, user: &str) -> Result<u8, Problem> {
        self.answer(&json::DoneAnswer::new(user), || {
            Zeroizing::new(format!("{}: done\n", printed(user.as_ref())))
        })?;
        Ok(DONE)
    }
}
