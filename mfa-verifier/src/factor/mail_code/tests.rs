use super::*;
use std::cell::Cell;
use std::convert::Infallible;

const NOW: u64 = 1_800_000_000;
const LOGIN: Use = Use::Login("alice@example.org");
const ADDRESS: Use = Use::Address("new@example.org");
const LIFETIME: u64 = 300;
const KNOWN: Sources = Sources::Known;
const ALL: [Sources; 3] = [Sources::Local, Sources::Known, Sources::Others];

/// One that was sent, as it is kept.
pub(crate) fn pending(salt: [u8; 16], hash: [u8; 16], made: u64, lifetime: u64) -> Pending {
    Pending { salt, hash, made, lifetime }
}

fn new_code() -> NewCode {
    NewCode::new(6, LOGIN).unwrap()
}

fn text(code: &NewCode) -> String {
    code.code.expose_str().unwrap().to_owned()
}

fn wrong(code: &NewCode) -> String {
    let number: u32 = text(code).parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

/// With a code that was sent just now.
fn sent() -> (MailCodes, NewCode) {
    let (mut codes, code) = (MailCodes::default(), new_code());
    codes.note_sent(&code, LIFETIME, KNOWN, 5, NOW).unwrap();
    (codes, code)
}

/// What judges answers from where [`sent`] sends to.
fn judge(codes: &mut MailCodes, answer: &str, now: u64) -> Finding {
    codes.judge(answer, &[LOGIN], KNOWN, now)
}

#[test]
fn a_code_is_right_once() {
    let (mut codes, code) = sent();
    assert_eq!(judge(&mut codes, &wrong(&code), NOW), Finding::Wrong);
    assert_eq!(judge(&mut codes, &text(&code), NOW), Finding::Right(0));
    assert_eq!(judge(&mut codes, &text(&code), NOW), Finding::None);
    assert_eq!(codes.known.tally.failures, 0);
}

#[test]
fn a_code_dies_after_its_lifetime_and_is_not_good_before_it_was_made() {
    for (now, expected) in [
        (NOW - 1, Finding::None),
        (NOW, Finding::Right(0)),
        (NOW + LIFETIME - 1, Finding::Right(0)),
        (NOW + LIFETIME, Finding::None),
        (u64::MAX, Finding::None),
        (0, Finding::None),
    ] {
        let (mut codes, code) = sent();
        assert_eq!(judge(&mut codes, &text(&code), now), expected, "{now}");
    }
}

#[test]
fn a_new_code_voids_the_old_one() {
    let (mut codes, old) = sent();
    let mut new = new_code();
    while text(&new) == text(&old) {
        new = new_code();
    }
    codes.note_sent(&new, LIFETIME, KNOWN, 5, NOW + 1).unwrap();
    assert_eq!(judge(&mut codes, &text(&old), NOW + 1), Finding::Wrong);
    assert_eq!(judge(&mut codes, &text(&new), NOW + 1), Finding::Right(0));
}

#[test]
fn a_resend_resets_no_count_in_any_class() {
    let mut codes = MailCodes::default();
    for from in ALL {
        for failures in 1..=MOST_FAILURES {
            let code = new_code();
            assert_eq!(codes.note_sent(&code, LIFETIME, from, 10, NOW), Ok(()));
            assert_eq!(codes.judge(&wrong(&code), &[LOGIN], from, NOW), Finding::Wrong);
            assert_eq!(codes.place(false, from).1.failures, failures);
        }
        assert_eq!(codes.place(false, from).0, &None);
        let barred = Err(NotSent::Barred(NOW + MEMORY));
        assert_eq!(codes.note_sent(&new_code(), LIFETIME, from, 10, NOW), barred);
    }
}

#[test]
fn what_is_sent_and_given_in_one_class_is_not_touched_by_another() {
    for from in ALL {
        let (mut codes, code) = (MailCodes::default(), new_code());
        codes.note_sent(&code, LIFETIME, from, 5, NOW).unwrap();
        for other in ALL.into_iter().filter(|other| *other != from) {
            for _ in 0..5 {
                let theirs = new_code();
                codes.note_sent(&theirs, LIFETIME, other, 5, NOW).unwrap();
                assert_eq!(codes.judge(&wrong(&theirs), &[LOGIN], other, NOW), Finding::Wrong);
            }
            let barred = Finding::Barred(NOW + MEMORY);
            assert_eq!(codes.judge(&text(&code), &[LOGIN], other, NOW), barred);
        }
        assert_eq!(codes.judge(&text(&code), &[LOGIN], from, NOW), Finding::Right(0), "{from:?}");
        for _ in 0..4 {
            codes.note_sent(&new_code(), LIFETIME, from, 5, NOW).unwrap();
        }
        let full = Err(NotSent::TooMany(NOW + MEMORY));
        assert_eq!(codes.note_sent(&new_code(), LIFETIME, from, 5, NOW), full);
    }
}

#[test]
fn a_code_that_was_sent_elsewhere_is_none_here() {
    let (mut codes, code) = sent();
    for other in [Sources::Local, Sources::Others] {
        assert_eq!(codes.judge(&text(&code), &[LOGIN], other, NOW), Finding::None);
    }
    assert_eq!(judge(&mut codes, &text(&code), NOW), Finding::Right(0));
}

#[test]
fn this_host_is_local_whoever_got_in_there_and_a_name_is_never_known() {
    let rules = LockoutConfig::default();
    let mut lockout = Lockout::default();
    let home = Source::V4([192, 0, 2, 7]);
    for source in [Source::Local, home, Source::Unknown] {
        lockout.clear_source(source, NOW, &rules);
    }
    let of = |source, now| Sources::of(source, &lockout, now, &rules);
    assert_eq!(of(Source::Local, NOW), Sources::Local);
    assert_eq!(of(home, NOW), Sources::Known);
    assert_eq!(of(home, NOW + 31 * 86_400), Sources::Others);
    assert_eq!(of(Source::Unknown, NOW), Sources::Others);
    assert_eq!(of(Source::V4([192, 0, 2, 8]), NOW), Sources::Others);
}

#[test]
fn wrong_answers_for_an_address_are_counted_with_those_at_this_host() {
    let (mut codes, confirming) = (MailCodes::default(), NewCode::new(6, ADDRESS).unwrap());
    codes.note_sent(&confirming, ADDRESS_LIFETIME, Sources::Local, 5, NOW).unwrap();
    let login = new_code();
    codes.note_sent(&login, LIFETIME, Sources::Local, 5, NOW).unwrap();
    for _ in 0..4 {
        codes.judge(&wrong(&login), &[LOGIN], Sources::Local, NOW);
    }
    let judge = |codes: &mut MailCodes, answer: &str, now| {
        codes.judge(answer, &[ADDRESS], Sources::Local, now)
    };
    assert_eq!(judge(&mut codes, &wrong(&confirming), NOW), Finding::Wrong);
    let barred = Finding::Barred(NOW + MEMORY);
    assert_eq!(judge(&mut codes, &text(&confirming), NOW + 1), barred);
    // The fifth was for the address, whose code is void; the four were not.
    assert_eq!(judge(&mut codes, &text(&confirming), NOW + MEMORY), Finding::None);
}

#[test]
fn a_verification_of_an_address_outlives_five_wrong_answers_at_logins() {
    for from in ALL {
        let (mut codes, confirming) = (MailCodes::default(), NewCode::new(6, ADDRESS).unwrap());
        codes.note_sent(&confirming, ADDRESS_LIFETIME, Sources::Local, 5, NOW).unwrap();
        let login = new_code();
        codes.note_sent(&login, LIFETIME, from, 5, NOW).unwrap();
        for _ in 0..5 {
            assert_eq!(codes.judge(&wrong(&login), &[LOGIN], from, NOW), Finding::Wrong);
        }
        // Who fails at this host waits with it, and not longer than with anything else.
        let waits = if from == Sources::Local { MEMORY } else { 0 };
        assert_eq!(codes.confirms(NOW), waits == 0);
        assert!(codes.confirms(NOW + waits), "{from:?}");
        let right = codes.judge(&text(&confirming), &[ADDRESS], Sources::Local, NOW + waits);
        assert_eq!(right, Finding::Right(0), "{from:?}");
    }
}

#[test]
fn five_wrong_answers_bar_the_right_one_and_every_mail_for_an_hour() {
    let (mut codes, code) = sent();
    for _ in 0..5 {
        judge(&mut codes, &wrong(&code), NOW);
    }
    let until = NOW + 3_600;
    assert_eq!(judge(&mut codes, &text(&code), NOW), Finding::Barred(until));
    let barred = Err(NotSent::Barred(until));
    assert_eq!(codes.note_sent(&new_code(), LIFETIME, KNOWN, 5, until - 1), barred);
    let code = new_code();
    assert_eq!(codes.note_sent(&code, LIFETIME, KNOWN, 5, until), Ok(()));
    assert_eq!(judge(&mut codes, &wrong(&code), until), Finding::Wrong);
    assert_eq!(codes.known.tally.failures, 1);
    assert_eq!(judge(&mut codes, &text(&code), until), Finding::Right(0));
}

#[test]
fn what_is_not_judged_is_not_counted() {
    let mut codes = MailCodes::default();
    for _ in 0..9 {
        assert_eq!(judge(&mut codes, "000000", NOW), Finding::None);
    }
    assert_eq!(codes, MailCodes::default());
    let (mut codes, code) = sent();
    for _ in 0..9 {
        assert_eq!(judge(&mut codes, &wrong(&code), NOW + LIFETIME), Finding::None);
    }
    assert_eq!(codes.known.tally.failures, 0);
}

#[test]
fn so_many_mails_go_in_an_hour_and_not_one_more() {
    let mut codes = MailCodes::default();
    for sent in 0..5 {
        assert_eq!(codes.note_sent(&new_code(), LIFETIME, KNOWN, 5, NOW + sent), Ok(()));
    }
    let before = codes.clone();
    let full = Err(NotSent::TooMany(NOW + 3_600));
    assert_eq!(codes.note_sent(&new_code(), LIFETIME, KNOWN, 5, NOW + 3_599), full);
    assert_eq!(codes, before);
    // Policy was made stricter meanwhile: three of five must be forgotten.
    let full = Err(NotSent::TooMany(NOW + 2 + 3_600));
    assert_eq!(codes.note_sent(&new_code(), LIFETIME, KNOWN, 3, NOW + 4), full);
    assert_eq!(codes.note_sent(&new_code(), LIFETIME, KNOWN, 5, NOW + 3_600), Ok(()));
    assert_eq!(codes.known.tally.sent.len(), 5);
}

#[test]
fn a_clock_that_ran_ahead_bars_for_an_hour_and_not_for_ever() {
    let ahead = NOW + 365 * 86_400;
    let mut full = Tally { sent: vec![ahead; 5], ..Tally::default() };
    let mut barred = Tally { failures: 5, failed: ahead, ..Tally::default() };
    for now in [NOW, NOW + 3_599] {
        assert_eq!(full.admit(5, now), Err(NotSent::TooMany(NOW + 3_600)));
        assert_eq!(barred.admit(5, now), Err(NotSent::Barred(NOW + 3_600)));
    }
    assert_eq!(full.admit(5, NOW + 3_600), Ok(()));
    assert_eq!(barred.admit(5, NOW + 3_600), Ok(()));
}

#[test]
fn a_code_for_one_thing_is_wrong_for_another() {
    let (mut codes, code) = sent();
    let other = Use::Login("eve@example.org");
    assert_eq!(codes.judge(&text(&code), &[other], KNOWN, NOW), Finding::Wrong);
    // Neither is it one that is missing, nor one in the other's place.
    let (mut codes, code) = sent();
    let other = Use::Address("alice@example.org");
    assert_eq!(codes.judge(&text(&code), &[other], KNOWN, NOW), Finding::None);
    codes.address = codes.known.code.take();
    assert_eq!(codes.judge(&text(&code), &[other], KNOWN, NOW), Finding::Wrong);
}

#[test]
fn a_code_is_told_from_the_others_that_it_could_be() {
    let (mut codes, code) = sent();
    let uses = [Use::Login("eve@example.org"), LOGIN];
    assert_eq!(codes.judge(&text(&code), &uses, KNOWN, NOW), Finding::Right(1));
    let (mut codes, code) = sent();
    assert_eq!(codes.judge(&text(&code), &[], KNOWN, NOW), Finding::None);
    assert_eq!(codes.known.tally.failures, 0);
}

#[test]
fn a_login_meanwhile_leaves_the_verification_of_an_address_as_it_was() {
    let (mut codes, _) = sent();
    let confirming = NewCode::new(6, ADDRESS).unwrap();
    codes.note_sent(&confirming, ADDRESS_LIFETIME, KNOWN, 5, NOW).unwrap();
    let login = new_code();
    codes.note_sent(&login, LIFETIME, KNOWN, 5, NOW + 60).unwrap();
    assert_eq!(judge(&mut codes, &text(&login), NOW + 90), Finding::Right(0));
    assert!(codes.confirms(NOW + ADDRESS_LIFETIME - 1) && !codes.confirms(NOW + ADDRESS_LIFETIME));
    let late = NOW + ADDRESS_LIFETIME - 1;
    assert_eq!(codes.judge(&text(&confirming), &[ADDRESS], KNOWN, late), Finding::Right(0));
    assert!(!codes.confirms(late));
}

#[test]
fn numbers_that_would_make_some_codes_more_likely_are_drawn_again() {
    // 2³² = 4294 × 10⁶ + 967296 = 42 × 10⁸ + 94967296.
    for (digits, unfair, last) in [(6, 4_294_000_000, "999999"), (8, 4_200_000_000, "99999999")] {
        let numbers = [unfair, u32::MAX, unfair - 1];
        let next = Cell::new(0);
        let random = || Ok::<_, Infallible>(numbers[next.replace(next.get() + 1)]);
        let code = draw(digits, random).unwrap();
        assert_eq!((code.expose_str(), next.get()), (Some(last), 3));
    }
}

#[test]
fn a_code_has_as_many_digits_as_it_should() {
    let zero = || Ok::<_, Infallible>(7);
    for (digits, expected) in
        [(6, "000007"), (7, "0000007"), (8, "00000007"), (0, "000007"), (9, "00000007")]
    {
        assert_eq!(draw(digits, zero).unwrap().expose_str(), Some(expected));
    }
}

#[test]
fn every_first_digit_comes_about_equally_often() {
    let mut counts = [0_u32; 10];
    for _ in 0..10_000 {
        counts[usize::from(new_code().code.expose()[0] - b'0')] += 1;
    }
    // 1,000 expected for each, standard deviation 30: eight of them.
    assert!(counts.iter().all(|count| (760..1_240).contains(count)), "{counts:?}");
}

#[test]
fn nothing_of_a_code_is_in_what_is_kept() {
    let (codes, code) = sent();
    let kept = format!("{codes:?}{code:?}");
    assert!(!kept.contains(&text(&code)), "{kept}");
    let encoded = postcard::to_stdvec(&codes).unwrap();
    assert!(!encoded.windows(6).any(|window| window == code.code.expose()));
    // A record is bounded, and there are five of these times at most by default.
    assert!(encoded.len() < 80, "{}", encoded.len());
    let longest = postcard::to_stdvec(&MailCodes::longest()).unwrap();
    assert!(longest.len() < 340, "{}", longest.len());
    assert_eq!(postcard::from_bytes::<MailCodes>(&encoded).unwrap(), codes);
}
