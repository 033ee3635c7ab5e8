//! What authselect makes of a profile: authselect(8) and authselect-profiles(5), as far as the profile in
//! `packaging/authselect` and README.md need them. Debian has no authselect, so this stands in for it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A template with these features enabled: `authselect-profiles(5)`, "Conditional lines".
pub fn rendered(template: &str, enabled: &[&str]) -> String {
    let mut text = String::new();
    for line in template.lines() {
        if let Some(line) = rendered_line(line, enabled) {
            text += line.trim_end();
            text += "\n";
        }
    }
    text
}

/// The features that a template asks for.
pub fn features(template: &str) -> impl Iterator<Item = &str> {
    let operators = template.split('{').skip(1).map(|rest| rest.split('}').next().unwrap());
    operators.filter_map(|operator| operator.split('"').nth(1))
}

fn rendered_line(line: &str, enabled: &[&str]) -> Option<String> {
    let mut line = line.to_owned();
    while let Some((before, rest)) = line.split_once('{') {
        let (operator, after) = rest.split_once('}').expect("a whole operator");
        let holds = |condition: &str| match condition.strip_prefix("not ") {
            Some(feature) => !enabled.contains(&feature.trim_matches('"')),
            None => enabled.contains(&condition.trim_matches('"')),
        };
        let value = if let Some(condition) = operator.strip_prefix("include if ") {
            if !holds(condition) {
                return None;
            }
            ""
        } else if let Some(condition) = operator.strip_prefix("exclude if ") {
            if holds(condition) {
                return None;
            }
            ""
        } else {
            let (condition, values) =
                operator.strip_prefix("if ").unwrap().split_once(':').unwrap();
            let (yes, no) = values.split_once('|').unwrap_or((values, ""));
            if holds(condition) { yes } else { no }
        };
        line = format!("{before}{value}{after}");
    }
    Some(line)
}

/// Where profiles are: one of a vendor's goes before one of the same name that authselect brings.
const PROFILES: [&str; 2] = ["/usr/share/authselect/vendor", "/usr/share/authselect/default"];
/// Where the files are written that `/etc/pam.d` and `/etc` have links to.
const WRITTEN: &str = "/etc/authselect";
/// The profile that is selected, and its features, one a line.
const SELECTED: &str = "/etc/authselect/authselect.conf";
/// What a profile may have a template of that becomes a PAM service.
const SERVICES: [&str; 6] = [
    "system-auth",
    "password-auth",
    "fingerprint-auth",
    "smartcard-auth",
    "switchable-auth",
    "postlogin",
];

/// Does what `authselect` with these arguments does, on the host that it is called on.
///
/// # Errors
///
/// In authselect's words where it refuses something.
pub fn call(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["select", profile, features @ ..] => {
            let force = features.contains(&"--force");
            let features: Vec<_> =
                features.iter().copied().filter(|word| *word != "--force").collect();
            if !force {
                is_ours()?;
            }
            select(profile, &features)
        }
        ["enable-feature", feature] => change(|features| features.push((*feature).to_owned())),
        ["disable-feature", feature] => {
            change(|features| features.retain(|enabled| enabled != feature))
        }
        ["apply-changes"] => change(|_| {}),
        _ => Err(format!("not known to the stand-in: {arguments:?}")),
    }
}

/// What was not written by authselect is not overwritten.
fn is_ours() -> Result<(), String> {
    for service in SERVICES {
        let path = Path::new("/etc/pam.d").join(service);
        let target = fs::read_link(&path);
        let ours = target.is_ok_and(|target| target == Path::new(WRITTEN).join(service));
        if path.exists() && !ours {
            return Err(format!("[{}] has unexpected content!", path.display()));
        }
    }
    Ok(())
}

fn change(how: impl FnOnce(&mut Vec<String>)) -> Result<(), String> {
    is_ours()?;
    let selected = fs::read_to_string(SELECTED).map_err(|error| error.to_string())?;
    let (profile, features) = selected.split_once('\n').unwrap();
    let mut features = features.lines().map(str::to_owned).collect();
    how(&mut features);
    select(profile, &features.iter().map(String::as_str).collect::<Vec<_>>())
}

fn select(profile: &str, features: &[&str]) -> Result<(), String> {
    let directories = PROFILES.map(|directory| Path::new(directory).join(profile));
    let directory = directories.iter().find(|directory| directory.exists());
    let directory = directory.ok_or_else(|| format!("Unknown profile [{profile}]"))?;
    let templates = templates(directory).map_err(|error| error.to_string())?;
    for feature in features {
        if !templates.iter().any(|(_, text)| self::features(text).any(|known| known == *feature)) {
            return Err(format!("Unknown profile feature [{feature}]"));
        }
    }
    write(&templates, profile, features).map_err(|error| error.to_string())
}

fn templates(directory: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut templates = Vec::new();
    for name in SERVICES.into_iter().chain(["nsswitch.conf"]) {
        let link = if name == "nsswitch.conf" { "/etc" } else { "/etc/pam.d" };
        match fs::read_to_string(directory.join(name)) {
            Ok(text) => templates.push((Path::new(link).join(name), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(templates)
}

fn write(templates: &[(PathBuf, String)], profile: &str, features: &[&str]) -> io::Result<()> {
    fs::create_dir_all(WRITTEN)?;
    for (link, template) in templates {
        let written = Path::new(WRITTEN).join(link.file_name().unwrap());
        fs::write(&written, rendered(template, features))?;
        if fs::symlink_metadata(link).is_ok() {
            fs::remove_file(link)?;
        }
        symlink(&written, link)?;
    }
    let selected = [&[profile], features].concat().join("\n") + "\n";
    fs::write(SELECTED, selected)
}
