//! Variables of a router: `DAFFI_ROUTER_` and an option, `MAX_CONNECTIONS` for `--max-connections`.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, CommandFactory};

use super::{FILE, Origin, Setting, check, options};
use crate::{cli::Cli, failure::Failure};

const PREFIX: &str = "DAFFI_ROUTER_";

/// Where the file of a router is, if a variable says so.
pub(super) fn file() -> Option<PathBuf> {
    let named = std::env::var_os(format!("{PREFIX}{}", FILE.to_uppercase()));
    named.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What a variable sets one option to, if it says anything.
pub(super) fn of(option: &str) -> Option<String> {
    let variable = format!("{PREFIX}{}", option.to_uppercase().replace('-', "_"));
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The variables that are options, and the names of those that are none. An empty one says nothing,
/// as is usual where variables cannot be unset.
pub(super) fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Setting>, Vec<String>), Failure> {
    let command = Cli::command();
    let known = options(&command);
    let (mut settings, mut strangers) = (Vec::new(), Vec::new());
    for (variable, value) in variables {
        let Some(name) = variable.to_str().and_then(|variable| variable.strip_prefix(PREFIX)) else { continue };
        let option = name.to_lowercase().replace('_', "-");
        if option == FILE || value.is_empty() || is_of_an_orchestrator(name) {
            continue;
        }
        let variable = format!("{PREFIX}{name}");
        let Some(arg) = known.iter().find(|arg| arg.get_long() == Some(&option)) else {
            strangers.push(variable);
            continue;
        };
        let Some(value) = value.to_str() else {
            return Err(Failure::Usage(format!(
                "{variable}: the value is not UTF-8: set it anew, or write the option into the file of --config"
            )));
        };
        let values = match arg.get_action() {
            ArgAction::Append => value.split(',').map(|value| value.trim().to_owned()).collect(),
            _ => vec![value.to_owned()],
        };
        let setting = Setting { option, values, origin: Origin::Environment { variable } };
        check(&setting)?;
        settings.push(setting);
    }
    Ok((settings, strangers))
}

/// Kubernetes tells every process of a namespace where its services are, among them one that is
/// named after the router: `DAFFI_ROUTER_SERVICE_HOST`, `DAFFI_ROUTER_PORT_5000_TCP_ADDR`.
fn is_of_an_orchestrator(name: &str) -> bool {
    name.ends_with("SERVICE_HOST") || name.split('_').any(|word| word == "PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<(Vec<Setting>, Vec<String>), Failure> {
        super::read(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn variables_are_options_and_others_are_told() {
        let (settings, strangers) = read(&[
            ("DAFFI_ROUTER_LISTEN", "tcp://127.0.0.1:0, unix:///tmp/x"),
            ("DAFFI_ROUTER_MAX_CONNECTIONS", "7"),
            ("DAFFI_ROUTER_GRACE", ""),
            ("DAFFI_ROUTER_CONFIG", "r.toml"),
            ("DAFFI_ROUTER_MAX_CONECTIONS", "7"),
            ("DAFFI_ROUTER_SERVICE_HOST", "10.0.0.1"),
            ("DAFFI_ROUTER_PORT", "tcp://10.0.0.1:5000"),
            ("DAFFI_ROUTER_PORT_5000_TCP_ADDR", "10.0.0.1"),
            ("DAFFI_ADDR", "tcp://127.0.0.1:1"),
        ])
        .unwrap();
        let settings: Vec<_> = settings.iter().map(|setting| (setting.option.as_str(), &setting.values[..])).collect();
        let listen = ["tcp://127.0.0.1:0".to_owned(), "unix:///tmp/x".to_owned()];
        assert_eq!(settings, [("listen", &listen[..]), ("max-connections", &["7".to_owned()][..])]);
        assert_eq!(strangers, ["DAFFI_ROUTER_MAX_CONECTIONS"]);
    }

    #[test]
    fn a_bad_value_is_told_with_its_variable() {
        let refused = read(&[("DAFFI_ROUTER_SHARE", "-1")]).unwrap_err();
        let told = "DAFFI_ROUTER_SHARE: invalid value '-1' for '--share <FACTOR>': a share is a number above 0, as 0.5";
        assert_eq!(refused.sentence(), told);
    }
}
