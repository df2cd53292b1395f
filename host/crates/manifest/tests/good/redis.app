App {
    name: "redis",
    version: "",
    description: "",
    authors: [],
    targets: [],
    manifest: "tests/good/redis.toml",
    root: "<root>",
    triggers: [
        Trigger {
            id: "redis:{{ topic }}:hello",
            kind: Redis,
            event: Message(
                Channel {
                    name: "{{ topic }}",
                    place: Place {
                        line: 20,
                        column: 11,
                    },
                    address_at: Some(
                        Place {
                            line: 7,
                            column: 11,
                        },
                    ),
                },
            ),
            handler: Component(
                "hello",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 19,
                column: 1,
            },
        },
        Trigger {
            id: "own",
            kind: Redis,
            event: Message(
                Channel {
                    name: "news",
                    place: Place {
                        line: 25,
                        column: 11,
                    },
                    address_at: Some(
                        Place {
                            line: 27,
                            column: 11,
                        },
                    ),
                },
            ),
            handler: Component(
                "hello",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 23,
                column: 1,
            },
        },
        Trigger {
            id: "redis:inline:inline-h0157bfc7",
            kind: Redis,
            event: Message(
                Channel {
                    name: "inline",
                    place: Place {
                        line: 30,
                        column: 11,
                    },
                    address_at: Some(
                        Place {
                            line: 7,
                            column: 11,
                        },
                    ),
                },
            ),
            handler: Component(
                "inline-h0157bfc7",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 29,
                column: 1,
            },
        },
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
                line: 33,
                column: 1,
            },
        },
    ],
    other_triggers: [],
    trigger_settings: {},
    components: {
        "hello": Component {
            id: "hello",
            place: Place {
                line: 37,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 38,
                column: 10,
            },
            digest: None,
            description: "",
            ai_models: [
                "story",
            ],
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
        "inline-h0157bfc7": Component {
            id: "inline-h0157bfc7",
            place: Place {
                line: 31,
                column: 13,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 31,
                column: 24,
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
    },
    variables: {
        "password": Variable {
            description: None,
            default: None,
            secret: true,
            place: Place {
                line: 16,
                column: 1,
            },
        },
        "topic": Variable {
            description: None,
            default: Some(
                "news",
            ),
            secret: false,
            place: Place {
                line: 17,
                column: 1,
            },
        },
    },
    bobbin: BobbinConfig {
        repository: "<root>/models",
        limits: Limits {
            max_in_flight: 64,
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
        reuse_instances: {},
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
                drain: None,
                keep_warm: None,
                policy: None,
                sticky: None,
                version_header: None,
                exact_versions: None,
                retires: None,
                place: Place {
                    line: 10,
                    column: 9,
                },
            },
        },
        overrides: {
            "own": {
                "story": DeclaredRelease {
                    stable: BundleRef {
                        name: "storyteller",
                        version: Version {
                            major: 1,
                            minor: 1,
                            patch: 0,
                        },
                    },
                    drain: None,
                    keep_warm: None,
                    policy: None,
                    sticky: None,
                    version_header: None,
                    exact_versions: None,
                    retires: None,
                    place: Place {
                        line: 13,
                        column: 9,
                    },
                },
            },
        },
        access_overrides: {
            "own": AccessSettings {
                keys: None,
                errors: None,
            },
        },
        example: None,
    },
    left_out: {},
    tool: {},
    warnings: [],
}

releases: [
    "redis:{{ topic }}:hello story storyteller@1.0.0 sha256:8913084044196b0d4d497987655049b94d449cd709d3ff7beaba1477055146ff",
    "own story storyteller@1.1.0 sha256:3aa7b12e4bd18af1e7371fb0ede4ab187a6990c295aa3a8252183dd478f958f1",
    "http:/hello:hello story storyteller@1.0.0 sha256:8913084044196b0d4d497987655049b94d449cd709d3ff7beaba1477055146ff",
]

warnings:


supported:
everything
