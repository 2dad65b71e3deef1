//! Releasing a lock by force: only the hold that was shown, and only by who types its key.

use crate::clock::wall_ms;
use crate::document::{notice, page};
use crate::shared::Shared;
use crate::text;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use locks_runtime::{ErrorKind, Key};
use std::sync::Arc;

pub(crate) async fn force(State(shared): State<Arc<Shared>>, Form(fields): Form<Vec<(String, String)>>) -> Response {
    let field = |name: &str| fields.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value.as_str());
    if !shared.may_break {
        let text = "This page may not release locks: start it with --allow-break, or make it with `allow_break`.";
        return answer(StatusCode::FORBIDDEN, text, None);
    }
    if !shared.mark.is(field("mark")) {
        let text = "This form is of another run of this page. Look again.";
        return answer(StatusCode::FORBIDDEN, text, None);
    }
    let (Ok(key), Ok(fence)) = (Key::new(field("key")), field("fence").parse::<u64>()) else {
        return answer(StatusCode::BAD_REQUEST, "The form has no key or no fence. Look again.", None);
    };
    if !shared.watching.shows(&key) {
        return answer(StatusCode::NOT_FOUND, "This page does not show that lock.", None);
    }
    let typed = field("typed");
    // What cannot be seen is typed as it is shown.
    if typed != key.as_str() && typed != text::whole(key.as_str()) {
        let text = "What was typed is not the key of that lock. Nothing was done.";
        return answer(StatusCode::UNPROCESSABLE_ENTITY, text, Some(&key));
    }
    let released = shared.watching.locks().force_release_if(key.as_str(), fence).await;
    let answer = match released {
        Ok(true) => {
            shared.watching.history().broken(&key, fence, wall_ms());
            let text = format!("Released {} from its holder with the fence {fence}.", text::safe(key.as_str()));
            answer(StatusCode::OK, &text, Some(&key))
        }
        Ok(false) => {
            let text = format!(
                "{} is not held by the holder with the fence {fence} any more. Nothing was done.",
                text::safe(key.as_str())
            );
            answer(StatusCode::CONFLICT, &text, Some(&key))
        }
        Err(error) => {
            let status = match error.kind() {
                ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
                ErrorKind::Unauthorized => StatusCode::FORBIDDEN,
                ErrorKind::InvalidKey => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            return answer(status, &text::safe(&error.to_string()), Some(&key));
        }
    };
    // The next look shows it; a store that is away by now says so there.
    let _ = shared.watching.look_at(&key).await;
    answer
}

fn answer(status: StatusCode, text: &str, key: Option<&Key>) -> Response {
    let now_ms = wall_ms();
    (status, Html(page("Locks", notice(text, key.map(Key::as_str)), now_ms))).into_response()
}
