//! The hub's HTTP interface.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::Body;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;

use super::ModelsError;

/// The hub that is asked unless told otherwise.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Its path in the repository.
    pub path: String,
    /// Where it is.
    pub url: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, which the hub knows of big files.
    pub sha256: Option<String>,
}

/// A hub, or a mirror of one.
pub struct Hub {
    agent: ureq::Agent,
    address: String,
    mirror: bool,
    token: Option<String>,
}

/// Longest page of a list of files that is read, in bytes, and most pages.
const MAX_LIST: u64 = 16 << 20;
const MAX_PAGES: usize = 100;

#[derive(Deserialize)]
struct ListedFile {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    size: u64,
    lfs: Option<ListedLfs>,
}

#[derive(Deserialize)]
struct ListedLfs {
    oid: String,
    size: u64,
}

impl Hub {
    /// The hub, or its mirror at an address, asked in the name of a token's owner. A mirror stands for all other hosts, too.
    #[must_use]
    pub fn new(mirror: Option<&str>, token: Option<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            // A file is asked for in parts, so this is the time of one part.
            .timeout_recv_body(Some(Duration::from_secs(1800)))
            .http_status_as_error(false)
            // A repository that was renamed is found at another path of the hub, and the token is for it, too.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("mudi/", env!("CARGO_PKG_VERSION")))
            .build();
        let address = mirror.unwrap_or(DEFAULT_HUB).trim_end_matches('/').to_owned();
        Self { agent: config.into(), address, mirror: mirror.is_some(), token }
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// [`ModelsError`], by what the hub answers.
    pub(super) fn files(&self, repository: &str) -> Result<Vec<RemoteFile>, ModelsError> {
        let url = format!("{}/api/models/{repository}/tree/main", self.address);
        let answer = |reason: String| ModelsError::Answer { url: url.clone(), reason };
        let mut listed = Vec::new();
        let mut query = Some("recursive=true".to_owned());
        for _ in 0..MAX_PAGES {
            let Some(page) = query.take() else { break };
            let (more, next) = self.page(&format!("{url}?{page}"))?;
            listed.extend(more);
            query = next;
        }
        if query.is_some() {
            return Err(answer(format!("it lists more files than {MAX_PAGES} pages hold")));
        }
        let mut files = Vec::new();
        for file in listed.into_iter().filter(|file| file.kind == "file") {
            // Paths come from outside, and become paths here.
            let plain = file.path.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !file.path.contains('\\');
            if !plain {
                return Err(answer(format!("{:?} is no path", file.path)));
            }
            let size = file.lfs.as_ref().map_or(file.size, |lfs| lfs.size);
            let url = format!("{}/{repository}/resolve/main/{}", self.address, escaped(&file.path));
            files.push(RemoteFile { path: file.path, url, size, sha256: file.lfs.map(|lfs| lfs.oid) });
        }
        Ok(files)
    }

    /// A page of a list of files, and the query of the next one, where there is one. Of its address the query alone counts: a mirror may
    /// pass on that of the hub.
    fn page(&self, url: &str) -> Result<(Vec<ListedFile>, Option<String>), ModelsError> {
        let response = self.get(url, None)?;
        let link = response.headers().get("link").and_then(|link| link.to_str().ok()).unwrap_or_default();
        let next = link.split(',').find(|link| link.contains(r#"rel="next""#));
        let query =
            next.and_then(|link| link.split_once('?')?.1.split_once('>')).map(|(query, _)| query.to_owned());
        let mut text = String::new();
        let body = response.into_body().into_reader();
        body.take(MAX_LIST)
            .read_to_string(&mut text)
            .map_err(|error| ModelsError::Failed { url: url.to_owned(), reason: error.to_string() })?;
        let listed = serde_json::from_str(&text)
            .map_err(|error| ModelsError::Answer { url: url.to_owned(), reason: error.to_string() })?;
        Ok((listed, query))
    }

    /// A file that is no repository's.
    ///
    /// # Errors
    /// [`ModelsError`], by what its host answers.
    pub(super) fn single(&self, address: &str, path: &str) -> Result<RemoteFile, ModelsError> {
        let url = format!("{}{path}", if self.mirror { &self.address } else { address });
        let response = self.get(&url, Some("bytes=0-0".to_owned()))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let size = match response.status().as_u16() {
            206 => header("content-range").and_then(|range| range.rsplit('/').next()),
            _ => header("content-length"),
        };
        let size = size.and_then(|size| size.trim().parse().ok()).ok_or_else(|| ModelsError::Answer {
            url: url.clone(),
            reason: "it does not say how long the file is".to_owned(),
        })?;
        let path = path.rsplit('/').next().unwrap_or(path).to_owned();
        Ok(RemoteFile { path, url, size, sha256: None })
    }

    /// The bytes of a file from `first` to `last`; false where the answer begins at the file's first byte instead.
    pub(super) fn part(
        &self,
        file: &RemoteFile,
        first: u64,
        last: u64,
    ) -> Result<(bool, impl Read + use<>), ModelsError> {
        let response = self.get(&file.url, Some(format!("bytes={first}-{last}")))?;
        Ok((response.status().as_u16() == 206, response.into_body().into_reader()))
    }

    fn get(&self, url: &str, range: Option<String>) -> Result<Response<Body>, ModelsError> {
        let mut request = self.agent.get(url);
        // The token is the hub's, and nobody else's business.
        if let Some(token) = self.token.as_ref().filter(|_| url.starts_with(&self.address)) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let response = request
            .call()
            .map_err(|error| ModelsError::Unreachable { url: url.to_owned(), reason: error.to_string() })?;
        let url = url.to_owned();
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            status @ (401 | 403) => Err(ModelsError::Refused { url, status }),
            404 => Err(ModelsError::NotFound { url }),
            status => Err(ModelsError::Failed { url, reason: format!("status {status}") }),
        }
    }
}

/// A path as addresses have it: names of files may have spaces and other letters.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let each = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(each).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_become_addresses() {
        for (path, expected) in [
            ("unet/model-00001-of-00002.fp16.safetensors", "unet/model-00001-of-00002.fp16.safetensors"),
            ("My Model (v2)+é?#.safetensors", "My%20Model%20%28v2%29%2B%C3%A9%3F%23.safetensors"),
        ] {
            assert_eq!(super::escaped(path), expected);
        }
    }
}
