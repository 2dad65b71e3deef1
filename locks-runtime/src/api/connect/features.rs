//! What a URL is answered when its store's feature is off.

use super::*;
use crate::values::error::ErrorKind;

#[test]
fn a_store_whose_feature_is_off_names_the_feature() {
    let world = World::background().unwrap();
    let stores = [
        (cfg!(feature = "etcd"), "etcd", ["etcd", "etcds"]),
        (cfg!(feature = "redis"), "redis", ["redis", "rediss"]),
        (cfg!(feature = "zookeeper"), "zookeeper", ["zookeeper", "zookeepers"]),
        (cfg!(feature = "postgres"), "postgres", ["postgres", "postgresql"]),
        (cfg!(feature = "mysql"), "mysql", ["mysql", "mariadb"]),
        (cfg!(feature = "kubernetes"), "kubernetes", ["kubernetes", "kubernetes"]),
    ];
    for (is_on, feature, schemes) in stores {
        for scheme in schemes {
            let answer = connect(&format!("{scheme}://127.0.0.1:1/locks"), &world);
            let message = answer.map_or_else(|error| error.to_string(), |_| String::new());
            let named = message.contains(&format!("enable the feature `{feature}`"));
            assert_eq!(named, !is_on, "{scheme}: {message}");
        }
    }
    assert_eq!(connect("oracle://localhost", &world).unwrap_err().kind(), ErrorKind::InvalidUrl);
}
