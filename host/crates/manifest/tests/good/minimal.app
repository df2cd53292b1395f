App {
    name: "minimal",
    version: "",
    description: "",
    authors: [],
    targets: [],
    manifest: "tests/good/minimal.toml",
    root: "<root>",
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
                line: 6,
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
                line: 10,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 11,
                column: 10,
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
    variables: {},
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
        releases: {},
        overrides: {},
        access_overrides: {},
        example: None,
    },
    left_out: {},
    tool: {},
    warnings: [],
}

releases: []

warnings:


supported:
everything
