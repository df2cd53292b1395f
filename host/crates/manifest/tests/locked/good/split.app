App {
    name: "split",
    version: "1.0.0",
    description: "",
    authors: [],
    targets: [],
    manifest: "<folder>/split.json",
    root: "<folder>",
    triggers: [
        Trigger {
            id: "http:/plain:teller",
            kind: Http,
            event: Request(
                Path(
                    "/plain",
                ),
            ),
            handler: Component(
                "teller",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 22,
                column: 5,
            },
        },
        Trigger {
            id: "named",
            kind: Http,
            event: Request(
                Path(
                    "/named",
                ),
            ),
            handler: Component(
                "teller",
            ),
            executor: Http,
            components: {},
            middleware: [
                Dependency {
                    from: Local(
                        "<root>/good/files/app.wasm",
                    ),
                    export: None,
                    inherit: Some(
                        Only(
                            [
                                "environment",
                            ],
                        ),
                    ),
                    digest: None,
                    place: Place {
                        line: 84,
                        column: 25,
                    },
                },
                Dependency {
                    from: Local(
                        "<root>/good/files/app.wasm",
                    ),
                    export: None,
                    inherit: None,
                    digest: None,
                    place: Place {
                        line: 96,
                        column: 25,
                    },
                },
            ],
            place: Place {
                line: 30,
                column: 5,
            },
        },
        Trigger {
            id: "http:/numbered:teller",
            kind: Http,
            event: Request(
                Path(
                    "/numbered",
                ),
            ),
            handler: Component(
                "teller",
            ),
            executor: Http,
            components: {},
            middleware: [
                Dependency {
                    from: Local(
                        "<root>/good/files/app.wasm",
                    ),
                    export: None,
                    inherit: Some(
                        Only(
                            [
                                "environment",
                            ],
                        ),
                    ),
                    digest: None,
                    place: Place {
                        line: 122,
                        column: 25,
                    },
                },
                Dependency {
                    from: Local(
                        "<root>/good/files/app.wasm",
                    ),
                    export: None,
                    inherit: None,
                    digest: None,
                    place: Place {
                        line: 134,
                        column: 25,
                    },
                },
            ],
            place: Place {
                line: 38,
                column: 5,
            },
        },
        Trigger {
            id: "bobbin:/alone:alone",
            kind: Bobbin,
            event: Request(
                Path(
                    "/alone",
                ),
            ),
            handler: Component(
                "alone",
            ),
            executor: Http,
            components: {},
            middleware: [
                Dependency {
                    from: Local(
                        "<root>/good/files/app.wasm",
                    ),
                    export: None,
                    inherit: Some(
                        Only(
                            [
                                "environment",
                            ],
                        ),
                    ),
                    digest: None,
                    place: Place {
                        line: 155,
                        column: 25,
                    },
                },
                Dependency {
                    from: Local(
                        "<root>/good/files/app.wasm",
                    ),
                    export: None,
                    inherit: None,
                    digest: None,
                    place: Place {
                        line: 167,
                        column: 25,
                    },
                },
            ],
            place: Place {
                line: 46,
                column: 5,
            },
        },
    ],
    other_triggers: [],
    trigger_settings: {},
    components: {
        "alone": Component {
            id: "alone",
            place: Place {
                line: 144,
                column: 5,
            },
            source: "<root>/good/files/app.wasm",
            source_place: Place {
                line: 148,
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
        "teller": Component {
            id: "teller",
            place: Place {
                line: 56,
                column: 5,
            },
            source: "<root>/good/files/app.wasm",
            source_place: Place {
                line: 60,
                column: 19,
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
    },
    variables: {},
    bobbin: BobbinConfig {
        repository: "<folder>/models",
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
                    line: 9,
                    column: 20,
                },
            },
        },
        overrides: {
            "named": {
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
                        line: 14,
                        column: 24,
                    },
                },
            },
        },
        access_overrides: {
            "named": AccessSettings {
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

warnings:

