async fn transfer(from: u32, to: Account) -> Result<(), Error> {
    let __site = const {
        &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::transfer"),
            template: "/account/{from}, /account/{to.id}, {ledger ()}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
            options: ::distributed_locks::__private::Options {
                wait: ::core::option::Option::Some(
                    ::core::time::Duration::from_secs(0u64),
                ),
                ..::distributed_locks::__private::Options::DEFAULT
            },
        }
    };
    let __key = ::distributed_locks::__private::keys([
        ::distributed_locks::__private::key(
            &["/account/", ""],
            &[("from", ::distributed_locks::__private::value(&(from)))],
        ),
        ::distributed_locks::__private::key(
            &["/account/", ""],
            &[("to.id", ::distributed_locks::__private::value(&(to.id)))],
        ),
        ::distributed_locks::__private::key_of(
            ::distributed_locks::__private::value(&(ledger())),
            &["from", "to"],
        ),
    ]);
    let __outcome = ::distributed_locks::__private::run(
            ::distributed_locks::__private::acquiring(__site, __key),
            async move {
                if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                    Result<(), Error>,
                > {
                    return __output;
                }
                let _ = &to;
                let _ = &from;
                move_money(from, to).await
            },
        )
        .await;
    match __outcome {
        ::core::result::Result::Ok(__value) => __value,
        ::core::result::Result::Err(__error) => {
            ::distributed_locks::__private::skipped::<Result<(), Error>>(__error)
        }
    }
}
