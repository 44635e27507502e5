//! Who may operate the cluster: the one rule for both surfaces, decided from plain text.
//!
//! With a token, whoever shows it. Without one, everybody on this machine, as long as nobody else
//! can reach the gate at all; and no web page, however it got a browser to ask.

use std::net::{IpAddr, SocketAddr};

use wasmverse_core::{CallError, ErrorKind};
use wasmverse_daemon::config::Secret;

/// The rule of this gate.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Everybody on this machine, but no web page.
    Loopback,
    /// Whoever shows the token.
    Token(Secret),
    /// Nobody: reachable from elsewhere, and no token to tell operators by.
    Closed,
}

/// What a request says of itself. Texts are as they came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credentials<'a> {
    /// `authorization`.
    pub(crate) authorization: Option<&'a str>,
    /// `origin`: set by browsers on behalf of a page.
    pub(crate) origin: Option<&'a str>,
    /// Whom the client believes to speak to: `host`, or the authority.
    pub(crate) host: Option<&'a str>,
}

impl Access {
    /// The rule for a gate that listens there.
    pub(crate) fn new(listeners: &[SocketAddr], token: Option<Secret>) -> Self {
        match token {
            Some(token) => Self::Token(token),
            None if listeners.iter().all(|address| is_loopback(address.ip())) => Self::Loopback,
            None => Self::Closed,
        }
    }

    /// May this request operate the cluster?
    ///
    /// # Errors
    /// `unauthenticated` without the right token, `denied` where no token would help.
    pub(crate) fn check(&self, shown: Credentials<'_>) -> Result<(), CallError> {
        match self {
            Self::Token(token) => authenticate(token, shown.authorization),
            Self::Loopback => keep_pages_out(shown),
            Self::Closed => Err(denied(
                "this gate listens beyond loopback without `admin.token`: set the token, or listen \
                 on loopback only",
            )),
        }
    }
}

/// Which web pages may call objects, beside the gate's own.
#[derive(Clone, Debug)]
pub(crate) enum Pages {
    /// All.
    All,
    /// Those of these sites.
    Of(Vec<String>),
}

impl Pages {
    /// As `gate.cors_origins` says.
    pub(crate) fn new(origins: &[String]) -> Self {
        if origins.iter().any(|origin| origin == "*") {
            return Self::All;
        }
        Self::Of(origins.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect())
    }

    /// May this request call objects? A browser asks nobody before it sends a simple one, so what
    /// it tells pages of the answer is no protection.
    ///
    /// # Errors
    /// `denied` for a page of another site.
    pub(crate) fn check(&self, shown: Credentials<'_>) -> Result<(), CallError> {
        let Some(origin) = shown.origin else { return Ok(()) };
        let allowed = match self {
            Self::All => true,
            Self::Of(origins) => origins.iter().any(|allowed| allowed == origin),
        };
        if allowed || !is_foreign(origin, shown.host) {
            return Ok(());
        }
        Err(denied(
            "pages of this site may not call objects here: add its origin to `gate.cors_origins`",
        ))
    }
}

fn authenticate(token: &Secret, authorization: Option<&str>) -> Result<(), CallError> {
    let refused = |message: &str| Err(CallError::new(ErrorKind::Unauthenticated, message));
    let Some(authorization) = authorization else {
        return refused("the admin token is missing: send `Authorization: Bearer TOKEN`");
    };
    match authorization.split_once(' ') {
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case("bearer") => {
            if token.matches(shown.trim()) { Ok(()) } else { refused("the admin token is wrong") }
        }
        Some(_) | None => refused("the admin token is sent as `Authorization: Bearer TOKEN`"),
    }
}

/// A page of another site can make a browser on this machine send requests here. It cannot forge
/// its `Origin`; and a name of its own that it lets point here shows in `Host`.
fn keep_pages_out(shown: Credentials<'_>) -> Result<(), CallError> {
    if !shown.host.is_some_and(is_loopback_authority) {
        return Err(denied(
            "without `admin.token` the admin service answers only to `localhost` or a loopback \
             address in `Host`",
        ));
    }
    if shown.origin.is_some_and(|origin| is_foreign(origin, shown.host)) {
        return Err(denied("without `admin.token` the admin service answers no web page"));
    }
    Ok(())
}

fn is_foreign(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_none_or(|authority| Some(authority) != host)
}

fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

/// Loopback, also as the IPv6 form of an IPv4 address.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn denied(message: &str) -> CallError {
    CallError::new(ErrorKind::Denied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &[&str] = &["127.0.0.1:8080", "[::1]:49000", "[::ffff:127.0.0.1]:1"];

    fn access(listeners: &[&str], token: Option<&str>) -> Access {
        let listeners: Vec<_> = listeners.iter().map(|text| text.parse().unwrap()).collect();
        Access::new(&listeners, token.map(|token| Secret::find(token).unwrap()))
    }

    #[track_caller]
    fn check(access: &Access, shown: [Option<&str>; 3], expected: Option<ErrorKind>) {
        let [authorization, origin, host] = shown;
        let result = access.check(Credentials { authorization, origin, host });
        assert_eq!(result.err().map(|error| error.kind()), expected, "{shown:?}");
    }

    #[test]
    fn on_loopback_everybody_may_but_no_page() {
        let open = access(LOCAL, None);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "127.9.9.9"] {
            check(&open, [None, None, Some(host)], None);
            check(&open, [Some("Bearer x"), None, Some(host)], None);
        }
        let same = "http://localhost:8080";
        check(&open, [None, Some(same), Some("localhost:8080")], None);
        for origin in ["http://evil.example", "null", "", "http://localhost:3000", "localhost:8080"]
        {
            check(&open, [None, Some(origin), Some("localhost:8080")], Some(ErrorKind::Denied));
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", ""]
        {
            check(&open, [None, None, Some(host)], Some(ErrorKind::Denied));
            let origin = format!("http://{host}");
            check(&open, [None, Some(&origin), Some(host)], Some(ErrorKind::Denied));
        }
        check(&open, [None, None, None], Some(ErrorKind::Denied));
    }

    #[test]
    fn pages_call_objects_of_their_own_site_or_as_they_are_allowed_to() {
        let (app, evil) = ("https://app.example", "https://evil.example");
        for (origins, origin, allowed) in [
            (&[] as &[&str], None, true),
            (&[], Some("http://localhost:8080"), true),
            (&[], Some("http://localhost:3000"), false),
            (&[], Some(evil), false),
            (&[], Some("null"), false),
            (&[], Some(""), false),
            (&["https://app.example/"], Some(app), true),
            (&[app], Some(evil), false),
            (&["*"], Some(evil), true),
        ] {
            let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
            let host = Some("localhost:8080");
            let shown = Credentials { origin, host, ..Credentials::default() };
            let error = Pages::new(&origins).check(shown).err();
            assert_eq!(error.map(|error| error.kind()), (!allowed).then_some(ErrorKind::Denied));
        }
    }

    #[test]
    fn a_token_is_wanted_wherever_there_is_one() {
        for listeners in [LOCAL, &["0.0.0.0:8080"]] {
            let access = access(listeners, Some("hunter2"));
            check(&access, [Some("Bearer hunter2"), None, None], None);
            check(&access, [Some("bearer  hunter2 "), Some("http://ui.example"), None], None);
            for wrong in ["Bearer", "Bearer ", "Bearer hunter", "Basic hunter2", "hunter2", ""] {
                check(&access, [Some(wrong), None, None], Some(ErrorKind::Unauthenticated));
            }
            check(&access, [None, None, Some("localhost")], Some(ErrorKind::Unauthenticated));
        }
    }

    #[test]
    fn one_listener_beyond_loopback_closes_it_without_a_token() {
        for open in ["0.0.0.0:8080", "[::]:8080", "192.168.1.2:8080", "[fe80::1]:8080"] {
            let access = access(&[LOCAL[0], open], None);
            check(&access, [None, None, Some("localhost")], Some(ErrorKind::Denied));
            check(&access, [Some("Bearer x"), None, Some("localhost")], Some(ErrorKind::Denied));
        }
    }

    #[test]
    fn no_error_shows_a_token() {
        let error = access(LOCAL, Some("hunter2"))
            .check(Credentials { authorization: Some("Bearer hunter3"), ..Credentials::default() })
            .unwrap_err();
        assert!(!error.message().contains("hunter"), "{error}");
    }
}
