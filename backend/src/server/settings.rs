//! The server's settings, from one table: flags, environment and configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::ServeError;
use crate::device::Devices;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name in kebab case: the flag, and the field of the configuration file.
    pub name: &'static str,
    /// Its default, as text.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Setting {
    /// How the names of all environment variables begin that set something.
    pub const ENV: &'static str = "MUDI_SERVE_";

    /// The environment variable that sets it, for example `MUDI_SERVE_LISTEN`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("{}{}", Self::ENV, self.name.replace('-', "_").to_uppercase())
    }
}

/// Why a setting was refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no setting of this name.
    #[error("there is no setting `{name}`; `mudi serve --help` names them")]
    Unknown {
        /// The name as it was given.
        name: String,
    },
    /// A setting cannot have this value.
    #[error("setting `{name}` cannot be {value:?}: {needed} is needed")]
    Value {
        /// The setting.
        name: &'static str,
        /// The value as it was given.
        value: String,
        /// What is needed instead.
        needed: &'static str,
    },
    /// The configuration file cannot be read.
    #[error("{}: the configuration cannot be read: {fault}; write an object, as {{\"listen\": \"127.0.0.1:8787\"}}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

/// A type that a setting may have.
trait Value: Sized {
    const NEEDED: &'static str;
    fn read(text: &str) -> Option<Self>;
}

macro_rules! values {
    ($($type:ty: $needed:literal, $read:expr;)*) => {$(
        impl Value for $type {
            const NEEDED: &'static str = $needed;
            fn read(text: &str) -> Option<Self> {
                let read: fn(&str) -> Option<Self> = $read;
                read(text)
            }
        }
    )*};
}

values! {
    PathBuf: "a path", |text| Some(text.into());
    String: "a text", |text| Some(text.to_owned());
    bool: "true or false", |text| text.parse().ok();
    SocketAddr: "an address and a port, as 127.0.0.1:8787,", |text| text.parse().ok();
    u64: "a whole number", |text| text.parse().ok();
    Devices: "cpu, cuda, metal, one with its number, as cuda:1, or several, each once, as cuda:0,cuda:1", |text| text.parse().ok();
    f64: "a number from 0", |text| text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
}

macro_rules! settings {
    ($($field:ident: $type:ty = $name:literal, $default:literal, $help:literal;)*) => {
        /// The settings; [`SETTINGS`] describes them.
        #[derive(Debug, Clone)]
        pub struct Settings { $(#[doc = $help] pub $field: $type,)* }

        /// The one table of settings.
        pub const SETTINGS: &[Setting] = &[$(Setting { name: $name, default: $default, help: $help },)*];

        impl Settings {
            /// The settings of `given`, a text for each setting; the default where it gives none.
            ///
            /// # Errors
            /// [`SettingsError::Value`].
            pub fn new(given: impl Fn(&Setting) -> Option<String>) -> Result<Self, SettingsError> {
                $(let $field = {
                    let setting = Setting { name: $name, default: $default, help: $help };
                    let text = given(&setting).unwrap_or_else(|| $default.to_owned());
                    <$type as Value>::read(text.trim()).ok_or_else(|| SettingsError::Value {
                        name: $name,
                        value: text,
                        needed: <$type as Value>::NEEDED,
                    })?
                };)*
                Self { $($field,)* }.checked()
            }
        }
    };
}

settings! {
    data: PathBuf = "data", "mudi-data",
        "Folder of everything that the server keeps; made on first start. Copy it to move the server.";
    listen: SocketAddr = "listen", "127.0.0.1:8787", "Address and port to listen on; port 0 takes a free one.";
    models: PathBuf = "models", "models", "Folder of base models, each a folder in diffusers' layout or a checkpoint file.";
    detector: String = "detector", "owlv2-toybox",
        "Folder in `models` of the OWLv2 that finds subjects; the one that ships knows toys only.";
    segmenter: String = "segmenter", "sam-toybox", "Folder in `models` of the SAM that cuts subjects out.";
    embedder: String = "embedder", "dinov2-toybox", "Folder in `models` of the DINOv2 or DreamSim that tells subjects apart.";
    preview: String = "preview", "pocket",
        "Base model in `models` that visitors' browsers run while a layout is arranged; empty for none.";
    preview_guidance: f64 = "preview-guidance", "5",
        "How firmly previews follow the prompt (classifier-free guidance); 1 for distilled models, turbo ones among them, which do without.";
    public_url: String = "public-url", "",
        "Address under which browsers reach the server, with its scheme; with https cookies are sent by TLS only.";
    proxy: bool = "proxy", "false",
        "Whether a reverse proxy passes requests on: then none counts as local, and the client is the last one in X-Forwarded-For.";
    password_file: PathBuf = "password-file", "",
        "File whose first line becomes the owner's password, once and whenever it has changed; asked for where a request does not come from this machine.";
    upload_limit: u64 = "upload-limit", "256", "The largest photo or mask that can be uploaded, in MiB.";
    archive_limit: u64 = "archive-limit", "4096", "The largest data set or project that can be uploaded, packed and unpacked, in MiB.";
    memory: f64 = "memory", "0", "Memory that a job may use, in GiB; 0 for what is free, of a graphics card where its driver says so.";
    device: Devices = "device", "cpu",
        "Where jobs run: cpu, cuda, metal, or one with its number, as cuda:1; of several, as cuda:0,cuda:1, each does one at a time.";
    keep_loaded: f64 = "keep-loaded", "4",
        "Weights of base models that each device keeps in memory between jobs, in GiB, so that the next job begins at once; 0 for none.";
    nice: u64 = "nice", "10", "How much the worker yields to requests, 0 to 19 (Linux; elsewhere it counts for nothing).";
    rate: u64 = "rate", "100", "Requests a second from one address, in the mean; from this machine any number.";
    log: String = "log", "info", "What is logged: error, warn, info, debug or trace, or as `mudi=debug,tower_http=info`.";
    log_json: bool = "log-json", "false", "Log lines as JSON.";
}

impl Settings {
    /// Refuses what its type allows and the server cannot do.
    fn checked(self) -> Result<Self, SettingsError> {
        let rules = [
            ("nice", self.nice.to_string(), self.nice <= 19, "a whole number from 0 to 19"),
            ("rate", self.rate.to_string(), self.rate > 0, "a whole number from 1"),
            ("upload-limit", self.upload_limit.to_string(), self.upload_limit > 0, "a whole number from 1"),
            (
                "preview-guidance",
                self.preview_guidance.to_string(),
                self.preview_guidance <= 100.0,
                "a number from 0 to 100",
            ),
            (
                "archive-limit",
                self.archive_limit.to_string(),
                self.archive_limit > 0,
                "a whole number from 1",
            ),
            (
                "public-url",
                self.public_url.clone(),
                self.public_url.is_empty() || is_origin(&self.public_url),
                "an address that begins with http:// or https:// and has no path behind the server's name, as https://mudi.example.org,",
            ),
        ];
        match rules.into_iter().find(|(_, _, kept, _)| !kept) {
            None => Ok(self),
            Some((name, value, _, needed)) => Err(SettingsError::Value { name, value, needed }),
        }
    }

    /// The texts of a configuration file: a JSON object of settings.
    ///
    /// # Errors
    /// [`SettingsError::File`] and [`SettingsError::Unknown`].
    pub fn file(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>, SettingsError> {
        let failed = |fault: String| SettingsError::File { path: path.to_owned(), fault };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if let Some(name) = map.keys().find(|name| SETTINGS.iter().all(|known| known.name != *name)) {
            return Err(SettingsError::Unknown { name: name.clone() });
        }
        Ok(map)
    }

    /// The password of the password file, where one is named.
    pub(super) fn password(&self) -> Result<Option<String>, ServeError> {
        if self.password_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&self.password_file).map_err(|error| {
            let file = self.password_file.display();
            ServeError::Password(format!("{file}: cannot be read ({error}); --password-file names its file"))
        })?;
        // Some editors put a mark before a text, which is no part of it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
    }

    /// Whether browsers reach the server by TLS.
    pub(super) fn secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Memory that a job may use, in bytes.
    pub(super) fn memory_bytes(&self) -> Option<usize> {
        (self.memory > 0.0).then_some(bytes(self.memory))
    }

    /// Weights that are kept between jobs, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        bytes(self.keep_loaded)
    }
}

/// Whether an address names a server, and no place in it: the page is at the server's root.
fn is_origin(address: &str) -> bool {
    let name = ["http://", "https://"].into_iter().find_map(|scheme| address.strip_prefix(scheme));
    let name = name.map(|name| name.strip_suffix('/').unwrap_or(name));
    name.is_some_and(|name| !name.is_empty() && !name.contains(['/', '?', '#', ' ']))
}

/// GiB in bytes.
fn bytes(gibibytes: f64) -> usize {
    (gibibytes * (1u64 << 30) as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_their_types() {
        let settings = Settings::new(|_| None).unwrap();
        assert_eq!(settings.listen.port(), 8787);
        assert!(!settings.proxy && !settings.secure() && settings.memory_bytes().is_none());
    }

    #[test]
    fn a_wrong_value_names_the_setting() {
        let wrong = |name: &'static str, value: &str| {
            Settings::new(|setting| (setting.name == name).then(|| value.to_owned())).unwrap_err().to_string()
        };
        assert!(wrong("listen", "here").contains("`listen` cannot be \"here\""));
        assert!(wrong("proxy", "yes").contains("true or false"));
        assert!(wrong("memory", "-1").contains("a number"));
        assert!(wrong("device", "cpu,cpu").contains("each once"));
        assert!(wrong("nice", "50").contains("from 0 to 19"));
        assert!(wrong("preview-guidance", "1e300").contains("from 0 to 100"));
        for name in ["rate", "upload-limit", "archive-limit"] {
            assert!(wrong(name, "0").contains("from 1"), "{name}");
        }
        for address in ["mudi.example.org", "https://", "https://mudi.example.org/studio", "https://a/#b"] {
            assert!(wrong("public-url", address).contains("no path behind"), "{address}");
        }
        for address in ["https://mudi.example.org", "http://192.168.1.20:8787/", ""] {
            let given = |setting: &Setting| (setting.name == "public-url").then(|| address.to_owned());
            assert!(Settings::new(given).is_ok(), "{address}");
        }
    }

    #[test]
    fn a_file_with_an_unknown_setting_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.json");
        std::fs::write(&path, r#"{"lisen": "127.0.0.1:1"}"#).unwrap();
        assert!(matches!(Settings::file(&path), Err(SettingsError::Unknown { name }) if name == "lisen"));
        std::fs::write(&path, "[").unwrap();
        assert!(matches!(Settings::file(&path), Err(SettingsError::File { .. })));
    }
}
