App {
    name: "full",
    version: "1.2.3",
    description: "everything",
    authors: [
        "A",
    ],
    targets: [],
    manifest: "<folder>/full.json",
    root: "<folder>",
    triggers: [
        Trigger {
            id: "http:/hello:hello",
            kind: Http,
            event: Request(
                Path(
                    "/hello",
                ),
            ),
            handler: Component(
                "hello",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 35,
                column: 5,
            },
        },
        Trigger {
            id: "gone",
            kind: Http,
            event: Request(
                Path(
                    "/gone",
                ),
            ),
            handler: Static(
                StaticResponse {
                    status: 410,
                    headers: {
                        "x-a": "b",
                    },
                    body: Some(
                        "gone",
                    ),
                },
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 44,
                column: 5,
            },
        },
        Trigger {
            id: "secret",
            kind: Http,
            event: Request(
                Private,
            ),
            handler: Component(
                "hello",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 60,
                column: 5,
            },
        },
        Trigger {
            id: "redis:news:hello",
            kind: Redis,
            event: Message(
                Channel {
                    name: "news",
                    place: Place {
                        line: 75,
                        column: 20,
                    },
                    address_at: None,
                },
            ),
            handler: Component(
                "hello",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 71,
                column: 5,
            },
        },
        Trigger {
            id: "http:/story:storyteller",
            kind: Http,
            event: Request(
                Path(
                    "/story",
                ),
            ),
            handler: Component(
                "storyteller",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 79,
                column: 5,
            },
        },
    ],
    other_triggers: [],
    trigger_settings: {
        "http": {},
    },
    components: {
        "hello": Component {
            id: "hello",
            place: Place {
                line: 92,
                column: 5,
            },
            source: "<root>/good/files/app.wasm",
            source_place: Place {
                line: 96,
                column: 19,
            },
            digest: None,
            description: "",
            ai_models: [],
            allowed_outbound_hosts: [],
            key_value_stores: [],
            sqlite_databases: [],
            environment: {},
            variables: {},
            files: [],
            exclude_files: [],
            build: None,
            targets: None,
            dependencies: [],
            dependencies_inherit_configuration: None,
            tool: {},
            profiles: [],
        },
        "storyteller": Component {
            id: "storyteller",
            place: Place {
                line: 99,
                column: 5,
            },
            source: "<root>/good/files/app.wasm",
            source_place: Place {
                line: 103,
                column: 19,
            },
            digest: None,
            description: "tells",
            ai_models: [
                "story",
            ],
            allowed_outbound_hosts: [
                "https://{{ api_host }}",
                "http://hello.spin.internal",
            ],
            key_value_stores: [
                "default",
            ],
            sqlite_databases: [
                "default",
            ],
            environment: {
                "A": "b",
            },
            variables: {
                "host": "{{ api_host }}",
            },
            files: [
                FileMount {
                    what: Prepared {
                        source: "<root>/good/files/assets",
                        destination: "/",
                    },
                    place: Place {
                        line: 136,
                        column: 21,
                    },
                },
            ],
            exclude_files: [],
            build: Some(
                Build {
                    commands: [
                        "make",
                    ],
                    workdir: None,
                    watch: [
                        "src/**/*.rs",
                    ],
                },
            ),
            targets: None,
            dependencies: [
                (
                    "a:b/c@1.0.0",
                    Dependency {
                        from: Local(
                            "<root>/good/files/app.wasm",
                        ),
                        export: Some(
                            "d:e/f",
                        ),
                        inherit: Some(
                            All(
                                true,
                            ),
                        ),
                        digest: None,
                        place: Place {
                            line: 144,
                            column: 23,
                        },
                    },
                ),
                (
                    "g:h",
                    Dependency {
                        from: Local(
                            "<root>/good/files/app.wasm",
                        ),
                        export: None,
                        inherit: Some(
                            Only(
                                [
                                    "files",
                                ],
                            ),
                        ),
                        digest: Some(
                            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
                        ),
                        place: Place {
                            line: 152,
                            column: 23,
                        },
                    },
                ),
                (
                    "i:j",
                    Dependency {
                        from: Local(
                            "<root>/good/files/app.wasm",
                        ),
                        export: None,
                        inherit: None,
                        digest: None,
                        place: Place {
                            line: 165,
                            column: 23,
                        },
                    },
                ),
            ],
            dependencies_inherit_configuration: None,
            tool: {},
            profiles: [],
        },
    },
    variables: {
        "api_host": Variable {
            description: Some(
                "where",
            ),
            default: Some(
                "example.com",
            ),
            secret: false,
            place: Place {
                line: 187,
                column: 17,
            },
        },
        "token": Variable {
            description: None,
            default: None,
            secret: true,
            place: Place {
                line: 191,
                column: 14,
            },
        },
    },
    bobbin: BobbinConfig {
        repository: "<folder>/bundles",
        limits: Limits {
            max_in_flight: 8,
            request: 120s,
            grace: 5s,
            body_bytes: 1048576,
            guest_memory_bytes: 134217728,
            account_bytes: 67108864,
            guest_cpu: 30s,
            drain: 30s,
            mounted_files: 65536,
            mounted_bytes: 1073741824,
            key_value_bytes: 1073741824,
            database_bytes: 1073741824,
        },
        reuse_instances: {
            "hello",
        },
        plain_requests: {},
        access: AccessSettings {
            keys: None,
            errors: None,
        },
        releases: {
            "story": DeclaredRelease {
                stable: BundleRef {
                    name: "storyteller",
                    version: Version {
                        major: 1,
                        minor: 0,
                        patch: 0,
                    },
                },
                drain: Some(
                    5s,
                ),
                keep_warm: None,
                policy: None,
                sticky: None,
                version_header: None,
                exact_versions: None,
                retires: None,
                place: Place {
                    line: 26,
                    column: 20,
                },
            },
        },
        overrides: {},
        access_overrides: {},
        example: None,
    },
    left_out: {},
    tool: {},
    warnings: [],
}

warnings:

