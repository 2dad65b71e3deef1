//! Who may ask: checked before anything else, for every route.
//!
//! A page of another site that the reader has open can send requests to this one. What stops it: the name that it asks for is not
//! one of ours (a name that was rebound to this address), its browser says where the request comes from, and it has no token.

use crate::shared::Shared;
use axum::extract::{OriginalUri, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The one route that needs no token.
pub(crate) const HEALTH: &str = "/healthz";

/// Nothing of elsewhere, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

type Parameters = Vec<(String, String)>;

pub(crate) async fn checked(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let answer = match check(&shared, &request) {
        None => next.run(request).await,
        Some(answer) => answer,
    };
    with_headers(answer, shared.may_break)
}

/// What is answered to who may not; `None` to who may.
fn check(shared: &Shared, request: &Request) -> Option<Response> {
    let (headers, uri) = (request.headers(), request.uri());
    let Some(host) = host(headers, uri).filter(|host| is_ours(host, shared)) else {
        let text =
            "this page is not known by that name: use the address that it printed, or name the host when it is started";
        return Some(refused(StatusCode::MISDIRECTED_REQUEST, text));
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_of_this_origin(headers, &host, reads) {
        return Some(refused(StatusCode::FORBIDDEN, "this request comes from another site"));
    }
    if uri.path() == HEALTH {
        return None;
    }
    let token = shared.token.as_ref()?;
    let bearer = value(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let mut given = cookies(headers).filter(|(name, _)| *name == shared.cookie).map(|(_, value)| value).chain(bearer);
    if given.any(|given| token.is(given)) {
        return (reads && parameter(uri, "token").is_some()).then(|| swapped(shared, request, None));
    }
    match parameter(uri, "token") {
        Some(given) if reads && token.is(&given) => Some(swapped(shared, request, Some(given))),
        _ => Some(refused(
            StatusCode::FORBIDDEN,
            "open the link with `?token=` that was printed when this page was started",
        )),
    }
}

fn refused(status: StatusCode, text: &'static str) -> Response {
    (status, format!("{text}\n")).into_response()
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The host that is asked for, with its port; none if there are several, or none.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let in_header = hosts.next().map(HeaderValue::to_str);
    let of_uri = uri.authority().map(|authority| authority.as_str());
    match (in_header, hosts.next(), of_uri) {
        (Some(Ok(host)), None, None) => Some(host.to_owned()),
        (Some(Ok(host)), None, Some(other)) if host.eq_ignore_ascii_case(other) => Some(host.to_owned()),
        (None, None, Some(host)) => Some(host.to_owned()),
        _ => None,
    }
}

/// An address cannot be rebound; a name has to be known.
fn is_ours(host: &str, shared: &Shared) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && is_port(port));
    }
    let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
    let name = name.to_ascii_lowercase();
    is_port(port) && (name.parse::<Ipv4Addr>().is_ok() || name == "localhost" || shared.hosts.contains(&name))
}

/// `:8080`, or nothing.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// What a browser says of where a request comes from. What changes anything has to say it.
fn is_of_this_origin(headers: &HeaderMap, host: &str, reads: bool) -> bool {
    let is_navigation = value(headers, "sec-fetch-mode") == Some("navigate");
    let site = match value(headers, "sec-fetch-site") {
        Some("same-origin") => Some(true),
        Some("none") => Some(reads),
        // A link on another site. It comes without the cookie.
        Some(_) => Some(reads && is_navigation),
        None => None,
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().map(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
            && origins.next().is_none()
    });
    match (site, origin) {
        (Some(false), _) | (_, Some(false)) => false,
        (Some(true), _) | (_, Some(true)) => true,
        (None, None) => reads,
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).filter_map(|cookie| cookie.trim().split_once('='))
}

fn parameters(uri: &Uri) -> Parameters {
    Query::try_from_uri(uri).map(|Query(parameters)| parameters).unwrap_or_default()
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    parameters(uri).into_iter().find(|(given, _)| given == name).map(|(_, value)| value)
}

/// To the same place without the token, which a history or a screenshot would show. The cookie is for this folder and below.
fn swapped(shared: &Shared, request: &Request, token: Option<String>) -> Response {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
    let rest: Vec<String> = parameters(uri)
        .into_iter()
        .filter(|(name, _)| name != "token")
        .map(|(name, value)| format!("{}={}", crate::view::encoded(&name), crate::view::encoded(&value)))
        .collect();
    let folder = uri.path().rsplit('/').next().unwrap_or_default();
    let there = match (rest.is_empty(), folder) {
        (true, "") => "./".to_owned(),
        (true, name) => crate::view::encoded(name),
        (false, _) => format!("?{}", rest.join("&")),
    };
    // A redirect of another site's link goes on without strict cookies; what this page begins does not.
    let is_link =
        value(request.headers(), "sec-fetch-site").is_some_and(|site| !matches!(site, "none" | "same-origin"));
    let mut answer = if is_link {
        let refresh = format!("0;url={there}");
        let mut page = Html("<!doctype html><title>Locks</title>").into_response();
        if let Ok(refresh) = HeaderValue::from_str(&refresh) {
            page.headers_mut().insert("refresh", refresh);
        }
        page
    } else {
        (StatusCode::SEE_OTHER, [(header::LOCATION, there)]).into_response()
    };
    let cookie = token.map(|token| format!("{}={token}; HttpOnly; SameSite=Strict", shared.cookie));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

fn with_headers(mut answer: Response, may_break: bool) -> Response {
    // Without a referrer a browser does not say the origin of a form either.
    let referrer = if may_break { "same-origin" } else { "no-referrer" };
    let all = [
        ("content-security-policy", POLICY),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", referrer),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in all {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
