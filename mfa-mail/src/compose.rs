//! The message with its headers.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use mfa_protocol::mail::{Fault, Task};
use zeroize::Zeroizing;

/// The end of the year 9999, the last that a date of RFC 5322 was made for.
const LATEST: u64 = 253_402_300_799;

/// All of it, lines ending as on the network.
pub fn message(task: &Task) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mailbox = |address: &str| -> Result<Mailbox, Fault> {
        Ok(Mailbox::new(None, address.parse().map_err(|error| fault(&error))?))
    };
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| fault(&error))?;
    let random = u128::from_ne_bytes(random);
    let message = lettre::Message::builder()
        .from(mailbox(&task.from)?)
        .to(mailbox(&task.to)?)
        .subject(task.subject.as_str())
        .date(UNIX_EPOCH + Duration::from_secs(task.now.min(LATEST)))
        .message_id(Some(format!("<{random:032x}@{}>", task.host)))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        // RFC 3834: nothing answers it, not even who is on holiday.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .body(task.body.expose_str().unwrap_or_default().to_owned())
        .map_err(|error| fault(&error))?;
    Ok(Zeroizing::new(message.formatted()))
}

fn fault(error: &dyn std::error::Error) -> Fault {
    Fault::Compose(mfa_protocol::mail::first_line(error.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::mail::Route;

    fn task(subject: &str, body: &str) -> Task {
        Task {
            route: Route::Program("/usr/sbin/sendmail".into()),
            from: "mfa@example.org".to_owned(),
            to: "alice@example.org".to_owned(),
            subject: subject.to_owned(),
            body: body.into(),
            host: "wonder.example.org".to_owned(),
            // 2026-11-22 13:03:43 UTC, by `date -u -d @1795352623`.
            now: 1_795_352_623,
        }
    }

    fn text_of(task: &Task) -> String {
        String::from_utf8(message(task).unwrap().to_vec()).unwrap()
    }

    /// The headers, and the rest.
    fn parts(task: &Task) -> (Vec<String>, String) {
        let text = text_of(task);
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        (headers.split("\r\n").map(str::to_owned).collect(), body.to_owned())
    }

    #[test]
    fn a_message_has_the_headers_that_it_should_and_no_others() {
        let (mut headers, body) = parts(&task("Login to wonder", "042195 is the code.\n\nBye.\n"));
        headers.sort();
        let id = headers.remove(6);
        assert!(id.starts_with("Message-ID: <") && id.ends_with("@wonder.example.org>"), "{id}");
        assert_eq!(
            headers,
            [
                "Auto-Submitted: auto-generated",
                "Content-Transfer-Encoding: 7bit",
                "Content-Type: text/plain; charset=utf-8",
                "Date: Sun, 22 Nov 2026 13:03:43 +0000",
                "From: mfa@example.org",
                "MIME-Version: 1.0",
                "Subject: Login to wonder",
                "To: alice@example.org",
            ]
        );
        assert_eq!(body, "042195 is the code.\r\n\r\nBye.\r\n");
    }

    #[test]
    fn each_message_has_an_id_of_its_own() {
        let id = |task: &Task| {
            let (headers, _) = parts(task);
            headers.into_iter().find(|line| line.starts_with("Message-ID: ")).unwrap()
        };
        let task = task("Login", "x\n");
        assert_ne!(id(&task), id(&task));
    }

    #[test]
    fn text_that_is_not_ascii_travels_as_ascii() {
        let text = text_of(&task("Login to büro", "User: zoë\n"));
        assert!(text.is_ascii(), "{text}");
        // RFC 2047, and RFC 2045 (6.7): "ë" is c3 ab in UTF-8.
        // `printf büro | base64`
        assert!(text.contains("Subject: Login to =?utf-8?b?YsO8cm8=?="), "{text}");
        assert!(text.contains("zo=C3=AB"), "{text}");
    }

    #[test]
    fn what_is_no_address_or_no_time_makes_no_message_or_the_latest() {
        for address in ["", "a", "a@b\r\nBcc: c@d"] {
            let task = Task { to: address.to_owned(), ..task("Login", "x\n") };
            assert!(matches!(message(&task), Err(Fault::Compose(_))), "{address}");
        }
        let (headers, _) = parts(&Task { now: u64::MAX, ..task("Login", "x\n") });
        assert!(headers.contains(&"Date: Fri, 31 Dec 9999 23:59:59 +0000".to_owned()));
    }
}
