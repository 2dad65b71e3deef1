async fn index(&self, shard: u32) -> Result<u32, Error> {
    let __site = const {
        &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::index"),
            template: "/leader/{shard}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
            options: ::distributed_locks::__private::Options::DEFAULT,
        }
    };
    let __key = ::distributed_locks::__private::key(
        &["/leader/", ""],
        &[("shard", ::distributed_locks::__private::value(&(shard)))],
    );
    let __value = ::core::option::Option::Some(
        ::distributed_locks::__private::text(&(format!("{}:80", self.host))),
    );
    let mut __campaign = ::distributed_locks::__private::Given::new(__site.options)
        .ttl(self.ttl)
        .campaign(__site, __key, __value);
    let __outcome = loop {
        match __campaign.elected().await {
            ::core::result::Result::Ok(__term) => {
                let __leadership = __term.leadership();
                let __ended = __term
                    .run(async {
                        if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                            Result<u32, Error>,
                        > {
                            return __output;
                        }
                        let term: &::distributed_locks::__private::Leadership = &__leadership;
                        self.index(term.fence(), shard).await
                    })
                    .await;
                if let ::core::option::Option::Some(__ended) = ::distributed_locks::__private::Campaign::over(
                    __ended,
                ) {
                    break __ended;
                }
            }
            ::core::result::Result::Err(__error) => {
                break ::core::result::Result::Err(__error);
            }
        }
    };
    match __outcome {
        ::core::result::Result::Ok(__value) => __value,
        ::core::result::Result::Err(__error) => {
            ::distributed_locks::__private::skipped::<Result<u32, Error>>(__error)
        }
    }
}
