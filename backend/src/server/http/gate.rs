//! The one gate that every request passes: who asks, what the route needs, and whether both fit.
//!
//! What a route needs stands in its documentation, as the scope of its security requirement. A route without one is
//! the owner's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use mudi_domain::api::Access;
use uuid::Uuid;

use super::App;
use super::listener::Peer;
use super::problem::ApiError;
use crate::server::store::{Grants, StoreError};

/// The session's cookie.
pub(super) const COOKIE: &str = "mudi_session";

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// What the session grants; everything on this machine.
    pub(super) grants: Grants,
    /// Whether the request comes from this very machine.
    pub(super) local: bool,
    /// What stands for the client's address in limits on how often it may ask.
    pub(super) address: IpAddr,
    /// The session's token.
    pub(super) token: Option<String>,
}

impl Caller {
    /// What may be done with `project`.
    pub(super) fn access(&self, project: Uuid) -> Access {
        if self.grants.owner {
            return Access::Owner;
        }
        let granted = self.grants.projects.iter().filter(|granted| granted.project == project);
        granted.map(|granted| granted.access).max().unwrap_or(Access::Nobody)
    }

    /// What may be done anywhere.
    pub(super) fn highest(&self) -> Access {
        if self.grants.owner {
            return Access::Owner;
        }
        self.grants.projects.iter().map(|granted| granted.access).max().unwrap_or(Access::Nobody)
    }
}

/// What each route needs, by path and method.
pub(super) struct Rules(BTreeMap<(String, String), Access>);

impl Rules {
    /// Reads the rules out of the API's documentation.
    pub(super) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        let document = serde_json::to_value(document).unwrap_or_default();
        let mut rules = BTreeMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let scope = operation["security"][0]["session"][0].as_str();
                if let Some(access) = scope.and_then(Access::from_word) {
                    rules.insert((path.clone(), method.to_uppercase()), access);
                }
            }
        }
        Self(rules)
    }

    fn needed(&self, path: &str, method: &Method) -> Access {
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        self.0.get(&(path.to_owned(), method.to_owned())).copied().unwrap_or(Access::Owner)
    }
}

/// Lets a request through, with its [`Caller`], or answers it.
pub(super) async fn gate(
    State(server): State<App>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    matched: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    let local = is_local(peer.ip(), server.settings.proxy, headers);
    let address = client(peer.ip(), server.settings.proxy, headers);
    if !local && !server.guard.allows(address, server.settings.rate) {
        // Each second gives `rate` of them.
        return Err(ApiError::too_often("too many requests; wait a little").with(header::RETRY_AFTER, 1));
    }
    if !request.method().is_safe() {
        refuse_other_sites(headers)?;
    }
    let token = cookie(headers);
    let grants = match &token {
        _ if local => Grants { owner: true, ..Grants::default() },
        Some(token) => server.store.grants(token).await?,
        None => Grants::default(),
    };
    let caller = Caller { grants, local, address, token };
    let needed = server.guard.rules().needed(matched.as_str(), request.method());
    let project = project_of(matched.as_str(), request.uri().path());
    check(&caller, needed, project)?;
    if let Some(project) = project
        && !server.store.project_exists(project).await?
    {
        return Err(StoreError::Missing("project").into());
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn check(caller: &Caller, needed: Access, project: Option<Uuid>) -> Result<(), ApiError> {
    let held = project.map_or(caller.highest(), |project| caller.access(project));
    if held >= needed {
        return Ok(());
    }
    if caller.highest() == Access::Nobody {
        return Err(ApiError::sign_in(
            "sign in with the owner's password, or open a link that was sent to you",
        ));
    }
    if project.is_some() && held == Access::Nobody {
        // Whether the project exists is none of the caller's business.
        return Err(ApiError::missing("there is no such project; it may have been deleted"));
    }
    Err(ApiError::no_access(format!(
        "this needs the access of {}, and you have that of {}; ask the owner for another link",
        with_article(needed),
        with_article(held)
    )))
}

fn with_article(access: Access) -> String {
    let article = if matches!(access, Access::Editor | Access::Owner) { "an" } else { "a" };
    format!("{article} {}", access.word())
}

/// The project that a path names.
fn project_of(matched: &str, path: &str) -> Option<Uuid> {
    let place = matched.split('/').position(|part| part == "{project}")?;
    // What is no id names no project: nobody holds anything there, and the handler finds nothing.
    Some(path.split('/').nth(place)?.parse().unwrap_or_default())
}

/// Whether a request comes from this machine and from no page of another site: the name in `Host` must be this
/// machine's own, which a site that points its name here (DNS rebinding) or a proxy does not send.
fn is_local(peer: IpAddr, proxy: bool, headers: &HeaderMap) -> bool {
    let forwarded =
        ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];
    if proxy || !peer.to_canonical().is_loopback() || forwarded.iter().any(|name| headers.contains_key(*name))
    {
        return false;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The client's address, for limits on how often it may ask. Some proxies write its port behind it.
fn client(peer: IpAddr, proxy: bool, headers: &HeaderMap) -> IpAddr {
    let last = || {
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        let text = forwarded.rsplit(',').next()?.trim();
        text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
    };
    holder(if proxy { last().unwrap_or(peer) } else { peer })
}

/// What stands for all addresses that one client has at will: with IPv6 everybody gets a network of 64 bits.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// Refuses changes that a page of another site asks for. Browsers say whether it is another, over TLS and on this machine, or else the page's
/// site, which is then compared with the name that was asked for; a proxy may have changed that one. Other programs need say neither.
fn refuse_other_sites(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let same_site = || {
        text("origin").is_none_or(|origin| {
            let site = origin.split_once("://").map(|(_, site)| site);
            site.is_some_and(|site| text("host").is_some_and(|host| host.eq_ignore_ascii_case(site)))
        })
    };
    if text("sec-fetch-site").map_or_else(same_site, |site| matches!(site, "same-origin" | "none")) {
        return Ok(());
    }
    Err(ApiError::cross_site(
        "a page of another site has sent this, or a proxy in between passes on another `Host` than the browser's; use the server's own \
         page, or let whoever hosts the server have the proxy pass `Host` on as it comes",
    ))
}

/// The session's token of the cookies.
fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE && !value.is_empty()).then(|| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use mudi_domain::api::ProjectAccess;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_this_machine_by_its_own_name_is_local() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let local = |peer, proxy, pairs: &[(&'static str, &str)]| is_local(peer, proxy, &headers(pairs));
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8787", "[::1]:8787", "127.9.9.9"] {
            assert!(local(here, false, &[("host", host)]), "{host}");
        }
        for host in ["", "mudi.example.org", "localhost.example.org", "10.0.0.1", "[::2]"] {
            assert!(!local(here, false, &[("host", host)]), "{host}");
        }
        assert!(!local(here, true, &[("host", "localhost")]));
        for mark in ["x-forwarded-for", "x-forwarded-proto", "via"] {
            assert!(!local(here, false, &[("host", "localhost"), (mark, "1.2.3.4")]), "{mark}");
        }
        assert!(!local("10.0.0.1".parse().unwrap(), false, &[("host", "localhost")]));
        assert!(local("::ffff:127.0.0.1".parse().unwrap(), false, &[("host", "localhost")]));
    }

    #[test]
    fn changes_from_other_sites_are_refused() {
        let allowed = |pairs: &[(&'static str, &str)]| refuse_other_sites(&headers(pairs)).is_ok();
        assert!(allowed(&[("host", "a")]));
        assert!(allowed(&[("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")]));
        for other in ["http://b", "null", "http://a:2", "http://a:1.b"] {
            assert!(!allowed(&[("host", "a:1"), ("origin", other)]), "{other}");
        }
        assert!(!allowed(&[("host", "a"), ("sec-fetch-site", "cross-site")]));
        assert!(!allowed(&[("host", "a"), ("sec-fetch-site", "same-site")]));
        assert!(!allowed(&[("host", "a"), ("origin", "http://a"), ("sec-fetch-site", "cross-site")]));
        // A proxy that names the server as it knows it.
        let changed = [("host", "127.0.0.1:8787"), ("origin", "https://a")];
        assert!(!allowed(&changed));
        assert!(allowed(&[changed[0], changed[1], ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn the_proxy_names_the_client() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let forwarded = headers(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4")]);
        assert_eq!(client(peer, true, &forwarded).to_string(), "1.2.3.4");
        assert_eq!(client(peer, false, &forwarded), peer);
        for (address, known) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("2001:db8::1:2:3:4", "2001:db8::"),
            ("[2001:db8::7]:80", "2001:db8::"),
            ("unknown", "127.0.0.1"),
        ] {
            let forwarded = headers(&[("x-forwarded-for", address)]);
            assert_eq!(client(peer, true, &forwarded).to_string(), known, "{address}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = cookie(&headers(&[("cookie", "a=b; mudi_session=xyz; c=d")]));
        assert_eq!(found.as_deref(), Some("xyz"));
        assert_eq!(cookie(&headers(&[("cookie", "mudi_sessio=xyz; mudi_session=")])), None);
    }

    #[test]
    fn who_may_not_is_told_what_it_takes() {
        let viewer = Grants {
            projects: vec![ProjectAccess { project: Uuid::from_u128(7), access: Access::Viewer }],
            ..Grants::default()
        };
        let address = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let caller = Caller { grants: viewer, local: false, address, token: None };
        let told = format!("{:?}", check(&caller, Access::Editor, Some(Uuid::from_u128(7))).unwrap_err());
        assert!(told.contains("of an editor, and you have that of a viewer"), "{told}");
    }

    #[test]
    fn a_path_names_its_project() {
        let id = Uuid::from_u128(7);
        let path = format!("/api/projects/{id}/photos/x");
        assert_eq!(project_of("/api/projects/{project}/photos/{photo}", &path), Some(id));
        assert_eq!(project_of("/api/projects", "/api/projects"), None);
        assert_eq!(project_of("/api/projects/{project}", "/api/projects/x"), Some(Uuid::nil()));
    }
}
