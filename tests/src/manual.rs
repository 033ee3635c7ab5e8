//! Manual pages, as far as tests look into them. Those of other crates take this file in by its path.
#![allow(dead_code, reason = "each of those who take it in has use for a part")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a fault of the page"
)]

/// What stands under a heading, up to the next one of its kind: `.SH FILES`, `.SS add`. It begins with
/// the end of the heading's line.
///
/// # Panics
/// Where there is no such heading.
pub fn under<'a>(page: &'a str, heading: &str) -> &'a str {
    let (kind, _) = heading.split_once(' ').expect("a macro and a name");
    let line = format!("\n{heading}\n");
    let at = page.find(&line).unwrap_or_else(|| panic!("no {heading}"));
    let behind = &page[at + line.len() - 1..];
    // A section ends its subsections.
    let ends = [format!("\n{kind} "), "\n.SH ".to_owned()];
    ends.iter().fold(behind, |text, end| text.split(end.as_str()).next().unwrap_or_default())
}

/// The headings of a kind, `.SS`, and what stands under each.
pub fn headings<'a>(text: &'a str, kind: &str) -> Vec<(String, &'a str)> {
    let lines = text.lines().filter(|line| line.split(' ').next() == Some(kind));
    lines.map(|line| (plain(line), under(text, line))).collect()
}

/// Tagged paragraphs (`.TP`): each tag, and what is said of it.
pub fn entries(text: &str) -> Vec<(String, String)> {
    let entry = |entry: &str| {
        let (tag, said) = entry.split_once('\n').unwrap_or((entry, ""));
        let said = said.lines().take_while(|line| !matches!(*line, ".PP" | ".RE"));
        let said: Vec<String> =
            said.take_while(|line| !line.starts_with(".S")).map(plain).collect();
        (plain(tag), said.join(" "))
    };
    text.split("\n.TP\n").skip(1).map(entry).collect()
}

/// The tags alone; one that names several things by each of them.
pub fn tags(text: &str) -> Vec<String> {
    let tags = entries(text);
    tags.iter().flat_map(|(tag, _)| tag.split(", ")).map(str::to_owned).collect()
}

/// What is shown as it is typed, block by block.
pub fn insets(text: &str) -> Vec<String> {
    let blocks = text.split(".nf\n.RS\n").skip(1);
    let blocks = blocks.map(|block| block.split(".RE\n").next().unwrap_or_default());
    blocks.map(|block| block.lines().map(|line| plain(line) + "\n").collect()).collect()
}

/// A line as it is read: without macro, fonts and escapes.
pub fn plain(line: &str) -> String {
    let text = match line.split_once(' ') {
        Some((".B" | ".I" | ".SS" | ".SH", rest)) => arguments(rest).join(" "),
        Some((".BI" | ".BR" | ".IB" | ".IR" | ".RB" | ".RI", rest)) => arguments(rest).concat(),
        _ => line.to_owned(),
    };
    let mut read = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('\\') {
        read.push_str(before);
        let (character, length) = match behind.get(..3) {
            Some("(dq") => ("\"", 3),
            Some("(aq") => ("'", 3),
            Some("(ha") => ("^", 3),
            _ => match behind.as_bytes().first() {
                Some(b'-') => ("-", 1),
                Some(b'e') => ("\\", 1),
                Some(b'f') => ("", 2),
                Some(b'&' | b'c') => ("", 1),
                _ => panic!("an escape that is not known: {line}"),
            },
        };
        read.push_str(character);
        rest = behind.get(length..).unwrap_or_default();
    }
    read + rest
}

/// A macro's arguments: words, or what stands in quotes.
fn arguments(rest: &str) -> Vec<&str> {
    let mut arguments = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        let (argument, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        arguments.push(argument);
        rest = behind.trim_start();
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
.SH OPTIONS
.TP
.BI \\-\\-from \" NET\"
Where
.BR it (8)
is \\(dqgood\\(dq.
.TP
.BR \\-h \", \" \\-\\-help
Help.
.PP
Not of it.
.SS add totp|hotp
One.
.SS \"codes new\"
Two.
.nf
.RS
sed \\-i \\(aq/\\(haa\\e.b/d\\(aq
.RE
.fi
.SH FILES
Three.
";

    #[test]
    fn a_page_is_read_as_its_reader_sees_it() {
        let page = format!("\n{PAGE}");
        let options = under(&page, ".SH OPTIONS");
        assert_eq!(
            entries(options),
            [
                ("--from NET".to_owned(), "Where it(8) is \"good\".".to_owned()),
                ("-h, --help".to_owned(), "Help.".to_owned()),
            ]
        );
        assert_eq!(tags(options), ["--from NET", "-h", "--help"]);
        let headings = headings(options, ".SS");
        assert_eq!(headings[0], ("add totp|hotp".to_owned(), "\nOne."));
        assert_eq!(headings[1].0, "codes new");
        assert_eq!(insets(headings[1].1), ["sed -i '/^a\\.b/d'\n"]);
        assert_eq!(under(&page, ".SH FILES"), "\nThree.\n");
    }
}
