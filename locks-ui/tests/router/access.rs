//! Who may see it.

use crate::support::{Site, send, site, site_of};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};

const ROUTES: [&str; 10] = [
    "/",
    "/table",
    "/events",
    "/lock?key=a",
    "/detail?key=a",
    "/locks.json",
    "/metrics",
    "/page.js",
    "/page.css",
    "/nothing",
];

#[tokio::test]
async fn nothing_but_the_probe_is_shown_without_the_token() {
    let site = site("access_token");
    for path in ROUTES {
        let answer = site.send(Site::plain(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text.contains("?token=") && !answer.text.contains(&site.token), "{path}: {}", answer.text);
        for wrong in ["", "x", &site.token[1..], &format!("{}0", site.token)] {
            let request = Site::plain(path).header("authorization", format!("Bearer {wrong}"));
            assert_eq!(site.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
        }
    }
    let wrong = site.send(Site::plain("/?token=x").body(Body::empty()).unwrap()).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(!wrong.headers.contains_key(header::SET_COOKIE));
    let health = site.send(Site::plain("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!((health.status, &*health.text), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn the_token_becomes_a_cookie_and_leaves_the_address() {
    let site = site("access_cookie");
    for (path, there) in [
        ("/?token=T", "./"),
        ("/?prefix=%2Fa&token=T&sort=oldest", "?prefix=%2Fa&sort=oldest"),
        ("/table?token=T", "table"),
    ] {
        let request = Site::plain(&path.replace('T', &site.token)).header("sec-fetch-site", "none");
        let answer = site.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status, &answer.headers[header::LOCATION]),
            (StatusCode::SEE_OTHER, &there.parse().unwrap())
        );
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap();
        let with = Site::plain("/").header("cookie", format!("other=1; {cookie}; another=2"));
        assert_eq!(site.send(with.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
        // Of another page on this machine.
        let renamed = cookie.replace("locks_", "locks_0");
        let with = Site::plain("/").header("cookie", renamed);
        assert_eq!(site.send(with.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
    }
    // From a link on another site, a redirect would go without the cookie.
    let link = Site::plain(&format!("/?token={}", site.token))
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "navigate");
    let answer = site.send(link.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.headers["refresh"]), (StatusCode::OK, &"0;url=./".parse().unwrap()));
    assert!(answer.headers.contains_key(header::SET_COOKIE) && !answer.text.contains(&site.token));
}

#[tokio::test]
async fn only_its_own_names_reach_it() {
    let site = site_of("access_host", |page| page.host("Admin.example.org"));
    let status = async |host: &str, path: &str| {
        let request = site.allowed(path);
        let request = request.header("x", "y");
        let mut request = request.body(Body::empty()).unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        site.send(request).await.status
    };
    let ours = [
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost",
        "LOCALHOST:7000",
        "[::1]",
        "[::1]:7000",
        "10.1.2.3:7000",
        "admin.example.org",
        "ADMIN.example.org:443",
    ];
    for host in ours {
        assert_eq!(status(host, "/locks.json").await, StatusCode::OK, "{host}");
    }
    let foreign = [
        "evil.example",
        "evil.example:7000",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.evil.example",
        "admin.example.org.",
        "x.admin.example.org",
        "[::1",
        "[::1]x",
        "127.0.0.1:x",
        "127.0.0.1:7000:1",
        "127.1",
        "",
        "localhost@evil.example",
        "evil.example#localhost",
    ];
    for host in foreign {
        for path in ROUTES.into_iter().chain(["/healthz"]) {
            assert_eq!(status(host, path).await, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
        }
    }
    let mut none = site.allowed("/").body(Body::empty()).unwrap();
    none.headers_mut().remove("host");
    assert_eq!(site.send(none).await.status, StatusCode::MISDIRECTED_REQUEST);
    let two = site.allowed("/").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(two.headers().get_all("host").iter().count(), 2);
    assert_eq!(site.send(two).await.status, StatusCode::MISDIRECTED_REQUEST);
    let absolute = site.allowed("http://evil.example/").body(Body::empty()).unwrap();
    assert_eq!(site.send(absolute).await.status, StatusCode::MISDIRECTED_REQUEST);
}

/// Method, and the headers `Sec-Fetch-Site`, `Sec-Fetch-Mode`, `Origin`.
type From = (Method, Option<&'static str>, Option<&'static str>, Option<&'static str>);

#[tokio::test]
async fn requests_of_other_sites_are_refused() {
    let site = site_of("access_origin", locks_ui::Page::allow_break);
    let ours = Some("http://127.0.0.1:7000");
    let status = async |(method, fetch_site, mode, origin): From| {
        let path = if method == Method::POST { "/break" } else { "/locks.json" };
        let mut request = site.allowed(path).method(method).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in [("sec-fetch-site", fetch_site), ("sec-fetch-mode", mode), ("origin", origin)] {
            request = if let Some(value) = value { request.header(name, value) } else { request };
        }
        site.send(request.body(Body::from("mark=x")).unwrap()).await
    };
    let good: [From; 6] = [
        (Method::GET, None, None, None),
        (Method::GET, Some("none"), Some("navigate"), None),
        (Method::GET, Some("same-origin"), Some("cors"), None),
        (Method::GET, None, None, ours),
        (Method::GET, None, None, Some("https://127.0.0.1:7000")),
        // A link; without the cookie it would show nothing.
        (Method::GET, Some("cross-site"), Some("navigate"), None),
    ];
    for from in good {
        assert_eq!(status(from.clone()).await.status, StatusCode::OK, "{from:?}");
    }
    let bad: [From; 14] = [
        (Method::GET, Some("cross-site"), Some("no-cors"), None),
        (Method::GET, Some("cross-site"), None, None),
        (Method::GET, Some("same-site"), Some("cors"), None),
        (Method::GET, Some("something"), None, None),
        (Method::GET, None, None, Some("http://evil.example")),
        (Method::GET, None, None, Some("http://127.0.0.1:7001")),
        (Method::GET, None, None, Some("null")),
        (Method::GET, Some("same-origin"), None, Some("http://evil.example")),
        (Method::POST, None, None, None),
        (Method::POST, Some("none"), None, None),
        (Method::POST, Some("cross-site"), Some("navigate"), ours),
        (Method::POST, Some("same-site"), None, None),
        (Method::POST, None, None, Some("null")),
        (Method::POST, None, None, Some("http://evil.example")),
    ];
    for from in bad {
        let answer = status(from.clone()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{from:?}");
        assert_eq!(answer.text, "this request comes from another site\n", "{from:?}");
    }
    // These get as far as the mark of the form.
    for from in [(Method::POST, Some("same-origin"), Some("navigate"), None), (Method::POST, None, None, ours)] {
        assert!(status(from).await.text.contains("another run of this page"));
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_it_to_itself() {
    let site = site("access_headers");
    let with = async |request: axum::http::request::Builder| site.send(request.body(Body::empty()).unwrap()).await;
    for path in ["/", "/lock?key=a", "/locks.json", "/page.js", "/nothing", "/healthz", "/events?x"] {
        // One of them is refused.
        let requests = [Site::plain(path), Site::plain(path).header("origin", "http://evil.example")]
            .into_iter()
            .chain((path != "/events?x").then(|| site.allowed(path)));
        for request in requests {
            let headers = with(request).await.headers;
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert!(
                policy.contains("frame-ancestors 'none'")
                    && policy.contains("base-uri 'none'")
                    && policy.contains("form-action 'self'")
            );
            let all = [
                ("x-frame-options", "DENY"),
                ("x-content-type-options", "nosniff"),
                ("cache-control", "no-store"),
                ("referrer-policy", "no-referrer"),
            ];
            for (name, value) in all {
                assert_eq!(headers[name], value, "{path}");
            }
        }
    }
    let page = site.get("/").await.text;
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("://"), "{page}");
    assert_eq!(page.matches("<script").count(), 1);
}

#[tokio::test]
async fn it_works_below_any_path_of_an_application() {
    for base in ["/locks", "/locks/", "/a/b/locks"] {
        let site = site("access_base");
        let router = Router::new().nest(base, site.router.clone());
        let get = async |path: &str| {
            let request = Site::plain(path).header("authorization", format!("Bearer {}", site.token));
            send(&router, request.body(Body::empty()).unwrap()).await
        };
        let root = get(base).await;
        let table = match root.status {
            StatusCode::OK => root,
            _ => {
                let there = root.headers[header::LOCATION].to_str().unwrap();
                assert_eq!(there, "locks/table", "relative to {base}");
                get(&format!("{}/table", base.trim_end_matches('/'))).await
            }
        };
        assert!(table.text.contains("id=\"rows\""), "{}", table.text);
        // All of what it refers to is beside it.
        for link in ["\"page.css\"", "\"page.js\"", "\"icon.svg\"", "\"events?\""] {
            assert!(table.text.contains(link), "{link}");
        }
        assert!(!table.text.contains("href=\"/") && !table.text.contains("src=\"/"));
        assert_eq!(get(&format!("{}/page.css", base.trim_end_matches('/'))).await.status, StatusCode::OK);
        let refused = send(&router, Site::plain(base).body(Body::empty()).unwrap()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let swapped =
            send(&router, Site::plain(&format!("{base}?token={}", site.token)).body(Body::empty()).unwrap()).await;
        assert!(["locks", "./"].contains(&swapped.headers[header::LOCATION].to_str().unwrap()));
    }
}

#[tokio::test]
async fn an_application_may_check_who_asks_by_itself() {
    let site = site_of("access_without", locks_ui::Page::without_token);
    assert_eq!(site.token, "");
    let open = site.send(Site::plain("/").body(Body::empty()).unwrap()).await;
    assert_eq!(open.status, StatusCode::OK);
    let foreign = Site::plain("/locks.json").header("origin", "http://evil.example");
    assert_eq!(site.send(foreign.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
}
