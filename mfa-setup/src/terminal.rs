//! The conversation on a terminal.
//!
//! It takes place on `/dev/tty`, whatever standard input and output are. While a question is open
//! the terminal sends no signals: the interrupt character ends the line instead and comes with it,
//! so that giving up takes the same way out as any other answer, with the echo switched on again
//! and nothing left behind. (rpassword leaves the signal on, and a process that it ends leaves the
//! terminal without echo.)

use std::env;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use mfa_protocol::message::Terminal;
use mfa_protocol::{
    Answer, Conversation, ConversationError, PERSON_BOUND, Prompt, PromptKind, Secret, Style,
};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{
    InputFlags, LocalFlags, SetArg, SpecialCharacterIndices as Key, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::drawing::{printable, qr};
use crate::problem::{Problem, say_error, say_hint};

/// One more than the kernel keeps of a line that is being edited.
const LONGEST_LINE: usize = 4096;
/// A terminal that does not say how wide it is.
const USUAL_COLUMNS: u16 = 80;

/// The person at this process's terminal, if there is one.
#[derive(Debug)]
pub struct TerminalConversation {
    terminal: Option<File>,
    yes: bool,
    colours: bool,
}

impl TerminalConversation {
    /// Opens the controlling terminal. With `yes`, questions of yes or no are not asked.
    pub fn open(yes: bool) -> Self {
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open("/dev/tty")
            .ok();
        let colours = env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        Self { terminal, yes, colours }
    }

    /// Whether there is a terminal.
    pub fn is_there(&self) -> bool {
        self.terminal.is_some()
    }

    /// What the terminal can show.
    pub fn shape(&self) -> Terminal {
        let size = self.terminal.as_ref().and_then(terminal_size::terminal_size_of);
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let locale = variable("LC_ALL").or(variable("LC_CTYPE")).or(variable("LANG"));
        Terminal {
            columns: size.map_or(USUAL_COLUMNS, |(width, _)| width.0),
            utf8: locale.is_some_and(|locale| is_utf8(&locale)),
        }
    }

    /// Asks a question of the face's own; anything but yes is [`Problem::declined`].
    pub fn confirm(&mut self, question: &str) -> Result<(), Problem> {
        let hint = "use a terminal, or answer yes beforehand with --yes";
        let prompt = Prompt::yes_no(format!("{question} [y/N] "));
        let answer = self.ask(&prompt).map_err(|error| unanswered(error, hint))?;
        if answer.is_yes() { Ok(()) } else { Err(Problem::declined()) }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let Some(mut terminal) = self.terminal.as_ref() else { return Ok(()) };
        terminal.write_all(text.as_bytes())
    }
}

impl Conversation for TerminalConversation {
    fn ask(&mut self, prompt: &Prompt) -> Result<Answer, ConversationError> {
        if self.yes && prompt.kind == PromptKind::YesNo {
            return Ok(Answer::Text("y".into()));
        }
        let terminal = self.terminal.as_ref().ok_or(ConversationError::NobodyThere)?;
        // Before the question is seen, or a quick answer would be.
        let typing = Typing::begin(terminal, prompt.kind.is_shown())
            .map_err(|_| ConversationError::NobodyThere)?;
        self.write(&printable(&prompt.text)).map_err(|_| ConversationError::Broken)?;
        let line = typing.line();
        drop(typing);
        line.map(Answer::Text).inspect_err(|_| {
            // The line that was given up has not ended.
            let _ = self.write("\n");
        })
    }

    fn tell(&mut self, style: Style, text: &str) {
        let drawn = match style {
            Style::Qr => qr(text, self.colours),
            Style::Info | Style::Error => None,
        };
        let told = match (self.is_there(), style, drawn) {
            (true, _, Some(drawing)) => self.write(&drawing),
            (true, _, None) => {
                self.write(&printable(text.trim_end_matches('\n'))).and_then(|()| self.write("\n"))
            }
            // Nobody can scan it there.
            (false, Style::Qr, _) => Ok(()),
            (false, Style::Info, _) => {
                say_hint(text);
                Ok(())
            }
            (false, Style::Error, _) => {
                say_error(text);
                Ok(())
            }
        };
        // What cannot be told is not an error; a terminal that is gone cannot be asked either.
        drop(told);
    }
}

/// What follows from a question without an answer. `hint` says how it could be answered.
pub fn unanswered(error: ConversationError, hint: &str) -> Problem {
    match error {
        ConversationError::NobodyThere => {
            Problem::usage("a question was to be asked, and there is no terminal", hint)
        }
        ConversationError::Aborted | ConversationError::Broken => Problem::interrupted(),
    }
}

/// The name of the terminal that this process stands on, for the log.
pub fn name() -> Option<String> {
    fn name_of(stream: impl AsFd + IsTerminal) -> Option<String> {
        // Through /dev/tty every terminal would have that name.
        let path = stream.is_terminal().then(|| nix::unistd::ttyname(stream).ok()).flatten()?;
        Some(path.to_string_lossy().into_owned())
    }
    name_of(io::stdin()).or_else(|| name_of(io::stderr())).or_else(|| name_of(io::stdout()))
}

/// A terminal while somebody types an answer; as it was before when dropped.
struct Typing<'a> {
    terminal: &'a File,
    before: Termios,
    interrupts: [u8; 2],
    endings: Endings,
}

impl<'a> Typing<'a> {
    fn begin(terminal: &'a File, shown: bool) -> nix::Result<Self> {
        // Before the echo is switched off: what ends the process from then on gives up the question.
        let endings = Endings::hold()?;
        let before = tcgetattr(terminal)?;
        let key = |key: Key| before.control_chars.get(key as usize).copied().unwrap_or_default();
        let interrupts = [key(Key::VINTR), key(Key::VQUIT)];

        let mut during = before.clone();
        during.input_flags.insert(InputFlags::ICRNL);
        // The kernel edits the line.
        during.local_flags.insert(LocalFlags::ICANON | LocalFlags::IEXTEN | LocalFlags::ECHONL);
        during.local_flags.remove(LocalFlags::ISIG);
        during.local_flags.set(LocalFlags::ECHO, shown);
        for (end, interrupt) in [Key::VEOL, Key::VEOL2].into_iter().zip(interrupts) {
            if let Some(character) = during.control_chars.get_mut(end as usize) {
                *character = interrupt;
            }
        }
        tcsetattr(terminal, SetArg::TCSANOW, &during)?;
        Ok(Self { terminal, before, interrupts, endings })
    }

    /// Waits for a line.
    fn line(&self) -> Result<Secret, ConversationError> {
        let mut line = Zeroizing::new([0u8; LONGEST_LINE]);
        let deadline = Instant::now() + PERSON_BOUND;
        loop {
            self.wait(deadline)?;
            let mut terminal = self.terminal;
            // A line at a time: that is what the kernel gives out in this mode.
            match terminal.read(&mut *line) {
                Ok(count) => return self.answer(line.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The terminal was closed.
                Err(_) => return Err(ConversationError::Aborted),
            }
        }
    }

    /// Waits until there is something to read.
    fn wait(&self, deadline: Instant) -> Result<(), ConversationError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left.max(Duration::from_millis(1)));
            let mut ready = [
                PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.endings.came.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, left.unwrap_or(PollTimeout::MAX)) {
                // The verifier waits no longer either.
                Ok(0) => return Err(ConversationError::Aborted),
                Ok(_) if ready[1].any() != Some(false) => {
                    // Taken, so that what is still to be said can be said.
                    let _ = self.endings.came.read_signal();
                    return Err(ConversationError::Aborted);
                }
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(_) => return Err(ConversationError::Broken),
            }
        }
    }

    fn answer(&self, line: &[u8]) -> Result<Secret, ConversationError> {
        match line.last() {
            // End of file.
            None => Err(ConversationError::Aborted),
            // A key that is switched off is 0.
            Some(last) if *last != 0 && self.interrupts.contains(last) => {
                Err(ConversationError::Aborted)
            }
            Some(_) => Ok(Secret::new(line.strip_suffix(b"\n").unwrap_or(line).to_vec())),
        }
    }
}

impl Drop for Typing<'_> {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to restore.
        let _ = tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}

/// The signals that end a process, held back while the terminal is not as it was: they would leave it
/// without echo.
struct Endings {
    signals: SigSet,
    came: SignalFd,
}

impl Endings {
    fn hold() -> nix::Result<Self> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            signals.add(signal);
        }
        signals.thread_block()?;
        let came = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, came })
    }
}

impl Drop for Endings {
    fn drop(&mut self) {
        // One that came and gave up nothing ends the process now.
        let _ = self.signals.thread_unblock();
    }
}

fn is_utf8(locale: &OsStr) -> bool {
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::{OpenptyResult, openpty};

    /// A terminal, and the end at which the person sits.
    fn terminal(yes: bool) -> (TerminalConversation, File) {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let terminal = Some(File::from(slave));
        (TerminalConversation { terminal, yes, colours: true }, File::from(master))
    }

    fn echoes(conversation: &TerminalConversation) -> bool {
        let now = tcgetattr(conversation.terminal.as_ref().unwrap()).unwrap();
        now.local_flags.contains(LocalFlags::ECHO | LocalFlags::ISIG)
    }

    fn seen(mut person: &File) -> String {
        let mut bytes = [0u8; 4096];
        let count = person.read(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    /// What comes of typing `keys` at `prompt`, and what the person saw of it.
    fn typed(prompt: &Prompt, keys: &[u8]) -> (Result<Vec<u8>, ConversationError>, String) {
        let (mut conversation, person) = terminal(false);
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| conversation.ask(prompt));
            let mut before = String::new();
            while !before.contains(&prompt.text) {
                before.push_str(&seen(&person));
            }
            (&person).write_all(keys).unwrap();
            asked.join().unwrap()
        });
        assert!(echoes(&conversation));
        conversation.tell(Style::Info, "END");
        let mut after = String::new();
        // The end of the line is written by itself.
        while !after.ends_with("END\r\n") {
            after.push_str(&seen(&person));
        }
        let answer = answer.map(|answer| match answer {
            Answer::Text(text) => text.expose().to_vec(),
            Answer::RepeatsPassword => panic!(),
        });
        (answer, after.replace("END", "").replace("\r\n", "\n"))
    }

    #[test]
    fn a_hidden_answer_is_not_seen_and_its_line_ends() {
        let (answer, seen) = typed(&Prompt::hidden("Code: "), b"123456\r");
        assert_eq!(answer, Ok(b"123456".to_vec()));
        assert_eq!(seen, "\n\n");
    }

    #[test]
    fn a_visible_answer_is_seen_and_can_be_edited() {
        let (answer, seen) = typed(&Prompt::visible("Label: "), b"phx\x7fone\r");
        assert_eq!(answer, Ok(b"phone".to_vec()));
        assert!(seen.starts_with("phx") && seen.contains("one"), "{seen:?}");
    }

    #[test]
    fn the_interrupt_key_and_the_end_of_the_input_give_up() {
        for keys in [&b"12\x03"[..], b"\x03", b"12\x1c", b"\x04"] {
            let (answer, seen) = typed(&Prompt::hidden("Code: "), keys);
            assert_eq!(answer, Err(ConversationError::Aborted), "{keys:?}");
            assert_eq!(seen, "\n\n");
        }
    }

    #[test]
    fn a_terminal_that_goes_away_gives_up() {
        let (mut conversation, person) = terminal(false);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| conversation.ask(&Prompt::hidden("Code: ")));
            seen(&person);
            drop(person);
            assert!(matches!(asked.join().unwrap(), Err(ConversationError::Aborted)));
        });
    }

    #[test]
    fn questions_of_yes_or_no_are_answered_beforehand_and_others_are_not() {
        let mut conversation = TerminalConversation { terminal: None, yes: true, colours: false };
        assert_eq!(conversation.confirm("Sure?"), Ok(()));
        let error = conversation.ask(&Prompt::hidden("Code: ")).unwrap_err();
        assert_eq!(error, ConversationError::NobodyThere);
        assert_eq!(unanswered(error, "").exit, 2);

        let mut conversation = TerminalConversation { terminal: None, yes: false, colours: false };
        assert_eq!(conversation.confirm("Sure?").unwrap_err().exit, 2);
    }

    /// Demands that this is seen next, in however many pieces it comes.
    #[track_caller]
    fn shows(mut person: &File, text: &str) {
        let mut bytes = vec![0; text.len()];
        person.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), text);
    }

    #[test]
    fn texts_reach_the_terminal_without_their_escapes_and_codes_in_colour() {
        let (mut conversation, person) = terminal(false);
        conversation.tell(Style::Info, "one\x1b[2J\n");
        shows(&person, "one\\u{1b}[2J\r\n");
        conversation.tell(Style::Qr, "█▀");
        shows(&person, "\x1b[38;5;16;48;5;231m█▀\x1b[0m\r\n");
        conversation.tell(Style::Qr, "\x1b");
        shows(&person, "\\u{1b}\r\n");
    }

    #[test]
    fn utf8_is_told_by_the_locale() {
        for (locale, expected) in [
            ("en_GB.UTF-8", true),
            ("de_DE.utf8@euro", true),
            ("C", false),
            ("de_DE.ISO8859-1", false),
        ] {
            assert_eq!(is_utf8(OsStr::new(locale)), expected);
        }
    }
}
