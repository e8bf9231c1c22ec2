//! `mudi serve`. Every setting of the server's table is a flag.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use mudi::server::{self, SETTINGS, Setting, Settings, SettingsError};
use mudi_engine_candle::weights::Precision;
use tracing_subscriber::EnvFilter;

use super::{Failure, model_path};

/// Serve projects, jobs and links over HTTP, until told to stop.
#[derive(Debug)]
pub(super) struct Arguments {
    file: Option<PathBuf>,
    openapi: bool,
    flags: BTreeMap<&'static str, String>,
}

impl Args for Arguments {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("JSON object of settings; the environment overrides it, and flags both");
        let openapi = Arg::new("openapi")
            .long("openapi")
            .action(ArgAction::SetTrue)
            .help("Print the API's description as JSON, and serve nothing");
        command.arg(file).arg(openapi).args(SETTINGS.iter().map(|setting| {
            let default = if setting.default.is_empty() { "none" } else { setting.default };
            Arg::new(setting.name).long(setting.name).value_name("VALUE").help(format!(
                "{} [default: {default}, or {}]",
                setting.help,
                setting.env()
            ))
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| {
            let typed = matches.value_source(setting.name) == Some(ValueSource::CommandLine);
            let value = matches.get_one::<String>(setting.name).filter(|_| typed);
            value.map(|value| (setting.name, value.clone()))
        };
        let file = matches.get_one::<PathBuf>("config").cloned();
        let openapi = matches.get_flag("openapi");
        Ok(Self { file, openapi, flags: SETTINGS.iter().filter_map(given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Defaults, then the file, then the environment, then flags.
fn settings(arguments: &Arguments) -> Result<Settings, Failure> {
    let file = arguments.file.as_deref().map(Settings::file).transpose()?.unwrap_or_default();
    let nearer = |setting: &Setting| {
        arguments.flags.get(setting.name).cloned().or_else(|| std::env::var(setting.env()).ok())
    };
    let given = |setting: &Setting| {
        nearer(setting).or_else(|| {
            file.get(setting.name)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
    };
    let mut settings = Settings::new(given).map_err(|error| -> Failure {
        let of_file = |name: &str| SETTINGS.iter().any(|known| known.name == name && nearer(known).is_none());
        match (&arguments.file, &error) {
            (Some(path), SettingsError::Value { name, .. }) if of_file(name) => {
                format!("{}: {error}", path.display()).into()
            }
            _ => error.into(),
        }
    })?;
    // What ships may be missing; what somebody has named may not.
    let named = |name: &str| SETTINGS.iter().any(|known| known.name == name && given(known).is_some());
    if named("models") && !settings.models.is_dir() {
        return Err(format!(
            "{}: there is no such folder; --models must name that of the base models",
            settings.models.display()
        )
        .into());
    }
    if settings.models.as_os_str() == "models" && !settings.models.is_dir() {
        // The folder of the models that ship, beside the program.
        let pocket = model_path(std::path::Path::new("pocket"))?;
        settings.models = pocket.parent().map_or(settings.models, PathBuf::from);
    }
    let preview = settings.models.join(&settings.preview);
    if named("preview") && !settings.preview.is_empty() && !preview.join("model_index.json").is_file() {
        return Err(format!(
            "{}: there is no base model in diffusers' layout; --preview must name one of --models, or nothing",
            preview.display()
        )
        .into());
    }
    let missing =
        networks(&settings).into_iter().find(|network| named(network.setting) && !network.folder.is_dir());
    if let Some(Network { setting, folder, what, .. }) = missing {
        let folder = folder.display();
        return Err(format!(
            "{folder}: there is no such folder; --{setting} must name one of --models that holds {what} (`mudi models list` tells which can be \
             pulled)"
        )
        .into());
    }
    Ok(settings)
}

/// A network that sees.
struct Network {
    setting: &'static str,
    folder: PathBuf,
    /// What the folder is to hold.
    what: &'static str,
    /// What there is without it.
    without: &'static str,
}

fn networks(settings: &Settings) -> [Network; 3] {
    let network = |setting, name: &str, what, without| Network {
        setting,
        folder: settings.models.join(name),
        what,
        without,
    };
    [
        network("detector", &settings.detector, "OWLv2", "no masks are made, and no pictures are judged"),
        network("segmenter", &settings.segmenter, "SAM", "no masks are made, and none by a click"),
        network("embedder", &settings.embedder, "DINOv2 or DreamSim", "no pictures are judged"),
    ]
}

/// Variables that read like a setting and are none. They are no reason not to serve: some who start programs add variables of their own.
fn strangers() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut strangers: Vec<String> = names
        .filter(|name| name.starts_with(Setting::ENV))
        .filter(|name| SETTINGS.iter().all(|setting| setting.env() != *name))
        .collect();
    strangers.sort();
    strangers
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.openapi {
        let description = serde_json::to_string_pretty(&server::openapi())?;
        return super::print(false, &serde_json::Value::Null, &description);
    }
    let settings = settings(arguments)?;
    // Jobs would fail one by one where a device is not there.
    settings.device.iter().try_for_each(|device| device.engine(Precision::Single).map(drop))?;
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| {
        format!(
            "--log {}: {error}; write error, warn, info, debug or trace, or as mudi=debug,tower_http=info",
            settings.log
        )
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if settings.log_json {
        log.json().init();
    } else {
        log.init();
    }
    for variable in strangers() {
        tracing::warn!("{variable} sets nothing: there is no such setting; `mudi serve --help` names them");
    }
    for Network { setting, folder, what, without } in networks(&settings) {
        if !folder.is_dir() {
            let folder = folder.display();
            tracing::warn!(%folder, "{without}: there is no such folder; let --{setting} name one of --models that holds {what}");
        }
    }
    let public = settings.public_url.clone();
    server::run(settings, |address| {
        let public = if public.is_empty() { public } else { format!("\nBrowsers reach it at {public}") };
        // A closed standard output is no reason not to serve.
        let _ =
            super::print(false, &serde_json::Value::Null, &format!("Listening on http://{address}/{public}"));
    })?;
    Ok(())
}
