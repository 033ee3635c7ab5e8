//! What every command needs: whose record it is about, a way to the verifier, somebody to talk to,
//! and a place for the answer.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mfa_protocol::connect::Verifier;
use mfa_protocol::escape::escape_bytes;
use mfa_protocol::message::{Action, ManageRequest};
use mfa_protocol::relay::RelayError;
use mfa_protocol::{Conversation, ConversationError, Reply, Request};
use nix::unistd::{User, geteuid};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::{Command, Global};
use crate::json;
use crate::private_file::PrivateFile;
use crate::problem::{Problem, say_hint};
use crate::terminal::{TerminalConversation, unanswered};

/// One command's surroundings.
pub struct Session<'a> {
    pub global: &'a Global,
    pub terminal: TerminalConversation,
    verifier: Verifier,
}

impl<'a> Session<'a> {
    /// `command`: none is the guided enrolment.
    pub fn begin(global: &'a Global, command: Option<&Command>) -> Result<Self, Problem> {
        // The verifier runs in /, where a relative path means something else.
        let absolute = |path: &PathBuf| std::path::absolute(path);
        let resolve = |path: &Option<PathBuf>| path.as_ref().map(absolute).transpose();
        let unresolved =
            |error: io::Error| Problem::usage(error.to_string(), "name files by absolute paths");
        let verifier = Verifier {
            program: resolve(&global.verifier).map_err(unresolved)?,
            config: resolve(&global.config).map_err(unresolved)?,
            socket: global.socket.clone(),
        };
        let root = geteuid().is_root();
        if command.is_some_and(Command::is_roots) && !root {
            return Err(Problem::not_permitted("only root can do that", "run this as root"));
        }
        if let (false, Some(user)) = (root, &global.user)
            && !is_own(user)
        {
            return Err(Problem::not_permitted(
                "another user's record is root's to look at and to change",
                "leave --user out, or run this as root",
            ));
        }
        let sudo = std::env::var_os("SUDO_USER").is_some_and(|user| user != "root");
        let own = global.user.is_none() && command.is_none_or(Command::is_about_own_record);
        if root && sudo && own {
            say_hint("this is root's own enrolment; use --user NAME for another user");
        }
        Ok(Self { global, verifier, terminal: TerminalConversation::open(global.yes) })
    }

    /// Whether another verifier than the one that serves logins was named, or another policy.
    pub fn is_private(&self) -> bool {
        let Verifier { program, config, socket } = &self.verifier;
        program.is_some() || config.is_some() || socket.is_some()
    }

    /// Whose record it is about, by name.
    pub fn user(&self) -> Result<OsString, Problem> {
        if let Some(user) = &self.global.user {
            return Ok(user.clone());
        }
        match User::from_uid(geteuid()) {
            Ok(Some(user)) => Ok(user.name.into()),
            _ => {
                Err(Problem::usage("this user has no name", "say whose record it is: --user NAME"))
            }
        }
    }

    /// Sends a management request and relays its conversation on the terminal. `hint` says what to
    /// do where a question needs a terminal and there is none.
    pub fn manage(&mut self, action: Action, hint: &str) -> Result<Reply, Problem> {
        let user = self.global.user.clone();
        self.manage_for(user.as_deref(), action, hint)
    }

    /// The same for `user`; `None` is who runs this.
    pub fn manage_for(
        &mut self,
        user: Option<&OsStr>,
        action: Action,
        hint: &str,
    ) -> Result<Reply, Problem> {
        let user = user.map(|user| user.as_bytes().to_vec());
        let request = Request::Manage(ManageRequest { user, action });
        self.converse(&request)?.map_err(|error| unanswered(error, hint))
    }

    /// One request to the verifier, relayed on the terminal. The inner error: a question of its
    /// was not answered.
    pub fn converse(
        &mut self,
        request: &Request,
    ) -> Result<Result<Reply, ConversationError>, Problem> {
        exchange(&self.verifier, request, &mut self.terminal)
    }

    /// The same, relayed to somebody else.
    pub fn converse_with(
        &self,
        request: &Request,
        conversation: &mut dyn Conversation,
    ) -> Result<Result<Reply, ConversationError>, Problem> {
        exchange(&self.verifier, request, conversation)
    }

    /// Makes a file for secrets; the person decides whether it may replace another.
    pub fn create(&mut self, path: &Path) -> Result<PrivateFile, Problem> {
        PrivateFile::create(path, |path| {
            let path = printed(path.as_os_str());
            self.terminal.confirm(&format!("{path} exists. Replace it?"))
        })
    }

    /// Writes the answer to standard output, in whole, past the buffer that nobody wipes.
    pub fn answer(
        &self,
        json: &impl Serialize,
        text: impl FnOnce() -> Zeroizing<String>,
    ) -> Result<(), Problem> {
        let write = || -> io::Result<()> {
            let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            if self.global.json {
                stdout.write_all(&json::line(json)?)
            } else {
                stdout.write_all(text().as_bytes())
            }
        };
        write().map_err(|error| {
            let error = format!("the answer cannot be written: {error}");
            Problem::unusable(error, "look at where standard output leads")
        })
    }
}

/// One request to that verifier.
pub(crate) fn exchange(
    verifier: &Verifier,
    request: &Request,
    conversation: &mut dyn Conversation,
) -> Result<Result<Reply, ConversationError>, Problem> {
    match verifier.connect(request)?.relay(request, conversation) {
        Ok(Reply::Failed(failure)) => Err(failure.into()),
        Ok(reply) => Ok(Ok(reply)),
        Err(RelayError::Verifier(error)) => Err(error.into()),
        Err(RelayError::Conversation(error)) => Ok(Err(error)),
    }
}

/// Whether `name` is the user who runs this.
fn is_own(name: &OsStr) -> bool {
    let user = name.to_str().and_then(|name| User::from_name(name).ok().flatten());
    user.is_some_and(|user| user.uid == geteuid())
}

/// A name as it may be printed.
pub fn printed(name: &OsStr) -> String {
    escape_bytes(name.as_bytes())
}
