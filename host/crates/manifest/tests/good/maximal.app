App {
    name: "maximal",
    version: "1.2",
    description: "Everything that a manifest can say",
    authors: [
        "a@example.com",
        "b@example.com",
    ],
    targets: [
        String(
            "spin-up:3.3",
        ),
        Table(
            {
                "url": String(
                    "https://example.com/environment.toml",
                ),
            },
        ),
        Table(
            {
                "path": String(
                    "environment.toml",
                ),
            },
        ),
    ],
    manifest: "tests/good/maximal.toml",
    root: "<root>",
    triggers: [
        Trigger {
            id: "http:/story/...:storyteller",
            kind: Http,
            event: Request(
                Path(
                    "/story/...",
                ),
            ),
            handler: Component(
                "storyteller",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 58,
                column: 1,
            },
        },
        Trigger {
            id: "bobbin:/v2/story/...:storyteller",
            kind: Bobbin,
            event: Request(
                Path(
                    "/v2/story/...",
                ),
            ),
            handler: Component(
                "storyteller",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 63,
                column: 1,
            },
        },
        Trigger {
            id: "named",
            kind: Http,
            event: Request(
                Path(
                    "/tale/:name",
                ),
            ),
            handler: Component(
                "storyteller",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 68,
                column: 1,
            },
        },
        Trigger {
            id: "http:private:storyteller",
            kind: Http,
            event: Request(
                Private,
            ),
            handler: Component(
                "storyteller",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 73,
                column: 1,
            },
        },
        Trigger {
            id: "http:/inline:inline-inline",
            kind: Http,
            event: Request(
                Path(
                    "/inline",
                ),
            ),
            handler: Component(
                "inline-inline",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 77,
                column: 1,
            },
        },
        Trigger {
            id: "http:/v1/inline.d/...:inline-v1-inline-d-h0269f8e3",
            kind: Http,
            event: Request(
                Path(
                    "/v1/inline.d/...",
                ),
            ),
            handler: Component(
                "inline-v1-inline-d-h0269f8e3",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 81,
                column: 1,
            },
        },
        Trigger {
            id: "with-id",
            kind: Http,
            event: Request(
                Path(
                    "/no-slash/",
                ),
            ),
            handler: Component(
                "with-id-component",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 85,
                column: 1,
            },
        },
        Trigger {
            id: "http:/teapot:static",
            kind: Http,
            event: Request(
                Path(
                    "/teapot",
                ),
            ),
            handler: Static(
                StaticResponse {
                    status: 418,
                    headers: {
                        "content-type": "text/plain",
                    },
                    body: Some(
                        "short and stout",
                    ),
                },
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 90,
                column: 1,
            },
        },
        Trigger {
            id: "http:/legacy:legacy",
            kind: Http,
            event: Request(
                Path(
                    "/legacy",
                ),
            ),
            handler: Component(
                "legacy",
            ),
            executor: Wagi {
                argv: Some(
                    "a b",
                ),
                entrypoint: None,
            },
            components: {
                "helper": [
                    "part",
                ],
                "helpers": [
                    "part",
                    "inline-legacy-haf01133f",
                ],
            },
            middleware: [
                Dependency {
                    from: Component(
                        "part",
                    ),
                    export: None,
                    inherit: None,
                    digest: None,
                    place: Place {
                        line: 98,
                        column: 28,
                    },
                },
                Dependency {
                    from: Local(
                        "files/app.wasm",
                    ),
                    export: None,
                    inherit: Some(
                        All(
                            true,
                        ),
                    ),
                    digest: None,
                    place: Place {
                        line: 98,
                        column: 52,
                    },
                },
            ],
            place: Place {
                line: 94,
                column: 1,
            },
        },
        Trigger {
            id: "redis:orders:legacy",
            kind: Redis,
            event: Message(
                Channel {
                    name: "orders",
                    place: Place {
                        line: 102,
                        column: 11,
                    },
                    address_at: Some(
                        Place {
                            line: 17,
                            column: 11,
                        },
                    ),
                },
            ),
            handler: Component(
                "legacy",
            ),
            executor: Http,
            components: {},
            middleware: [],
            place: Place {
                line: 101,
                column: 1,
            },
        },
    ],
    other_triggers: [],
    trigger_settings: {
        "http": {
            "base": String(
                "/",
            ),
        },
    },
    components: {
        "chained": Component {
            id: "chained",
            place: Place {
                line: 146,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 147,
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
        "inline-inline": Component {
            id: "inline-inline",
            place: Place {
                line: 79,
                column: 13,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 79,
                column: 24,
            },
            digest: None,
            description: "written in place",
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
        "inline-legacy-haf01133f": Component {
            id: "inline-legacy-haf01133f",
            place: Place {
                line: 99,
                column: 52,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 99,
                column: 63,
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
        "inline-v1-inline-d-h0269f8e3": Component {
            id: "inline-v1-inline-d-h0269f8e3",
            place: Place {
                line: 83,
                column: 13,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 83,
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
        "legacy": Component {
            id: "legacy",
            place: Place {
                line: 142,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 143,
                column: 10,
            },
            digest: None,
            description: "",
            ai_models: [],
            allowed_outbound_hosts: [
                "http://example.com:8080",
                "https://example.com:8080",
            ],
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
        "lonely": Component {
            id: "lonely",
            place: Place {
                line: 149,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 150,
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
            build: Some(
                Build {
                    commands: [
                        "make",
                        "make strip",
                    ],
                    workdir: None,
                    watch: [],
                },
            ),
            targets: None,
            dependencies: [],
            dependencies_inherit_configuration: None,
            tool: {},
            profiles: [],
        },
        "part": Component {
            id: "part",
            place: Place {
                line: 139,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 140,
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
        "storyteller": Component {
            id: "storyteller",
            place: Place {
                line: 105,
                column: 12,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 107,
                column: 10,
            },
            digest: None,
            description: "Tells stories",
            ai_models: [
                "story",
                "tale",
            ],
            allowed_outbound_hosts: [
                "https://{{ api_host }}:443",
                "redis://cache:6379",
                "http://chained.spin.internal",
            ],
            key_value_stores: [
                "default",
                "my_store",
            ],
            sqlite_databases: [
                "default",
            ],
            environment: {
                "KEPT": "yes",
                "LEVEL": "info",
            },
            variables: {
                "url": "https://{{ api_host }}/?t={{ token }}",
            },
            files: [
                FileMount {
                    what: Pattern(
                        "files/assets",
                    ),
                    place: Place {
                        line: 114,
                        column: 10,
                    },
                },
                FileMount {
                    what: Pattern(
                        "files/assets/*.png",
                    ),
                    place: Place {
                        line: 114,
                        column: 26,
                    },
                },
                FileMount {
                    what: Placement {
                        source: "files/assets",
                        destination: "/assets",
                    },
                    place: Place {
                        line: 114,
                        column: 48,
                    },
                },
            ],
            exclude_files: [
                "**/*.secret",
            ],
            build: Some(
                Build {
                    commands: [
                        "cargo build --release",
                    ],
                    workdir: Some(
                        "guest-components/storyteller",
                    ),
                    watch: [
                        "src/**/*.rs",
                    ],
                },
            ),
            targets: Some(
                [
                    String(
                        "spin-up:3.3",
                    ),
                ],
            ),
            dependencies: [
                (
                    "a:b/c",
                    Dependency {
                        from: Package {
                            package: Some(
                                "a:b",
                            ),
                            version: VersionReq {
                                comparators: [
                                    Comparator {
                                        op: Caret,
                                        major: 1,
                                        minor: Some(
                                            2,
                                        ),
                                        patch: Some(
                                            3,
                                        ),
                                        pre: Prerelease(""),
                                    },
                                ],
                            },
                            registry: Some(
                                "example.com",
                            ),
                        },
                        export: Some(
                            "foo",
                        ),
                        inherit: None,
                        digest: None,
                        place: Place {
                            line: 133,
                            column: 1,
                        },
                    },
                ),
                (
                    "f:g/h@0.1.0",
                    Dependency {
                        from: Local(
                            "files/app.wasm",
                        ),
                        export: None,
                        inherit: None,
                        digest: None,
                        place: Place {
                            line: 134,
                            column: 1,
                        },
                    },
                ),
                (
                    "p:q",
                    Dependency {
                        from: Package {
                            package: None,
                            version: VersionReq {
                                comparators: [
                                    Comparator {
                                        op: GreaterEq,
                                        major: 0,
                                        minor: Some(
                                            1,
                                        ),
                                        patch: Some(
                                            0,
                                        ),
                                        pre: Prerelease(""),
                                    },
                                ],
                            },
                            registry: None,
                        },
                        export: None,
                        inherit: None,
                        digest: None,
                        place: Place {
                            line: 135,
                            column: 1,
                        },
                    },
                ),
                (
                    "r:s",
                    Dependency {
                        from: Component(
                            "part",
                        ),
                        export: None,
                        inherit: None,
                        digest: None,
                        place: Place {
                            line: 136,
                            column: 1,
                        },
                    },
                ),
                (
                    "t:u",
                    Dependency {
                        from: Remote {
                            url: "https://example.com/u.wasm",
                            digest: "sha256:abcd1234abcd1234abcd1234abcd1234abcd1234abcd1234abcd1234abcd1234",
                        },
                        export: None,
                        inherit: None,
                        digest: None,
                        place: Place {
                            line: 137,
                            column: 1,
                        },
                    },
                ),
            ],
            dependencies_inherit_configuration: Some(
                false,
            ),
            tool: {
                "clean": {
                    "command": String(
                        "cargo clean",
                    ),
                },
            },
            profiles: [
                "debug",
            ],
        },
        "with-id-component": Component {
            id: "with-id-component",
            place: Place {
                line: 88,
                column: 13,
            },
            source: "<root>/files/app.wasm",
            source_place: Place {
                line: 88,
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
        "api_host": Variable {
            description: Some(
                "Where the service is",
            ),
            default: Some(
                "example.com",
            ),
            secret: false,
            place: Place {
                line: 55,
                column: 1,
            },
        },
        "token": Variable {
            description: None,
            default: None,
            secret: true,
            place: Place {
                line: 56,
                column: 1,
            },
        },
    },
    bobbin: BobbinConfig {
        repository: "<root>/bundles",
        limits: Limits {
            max_in_flight: 16,
            request: 60s,
            grace: 0ns,
            body_bytes: 65536,
            guest_memory_bytes: 67108864,
            account_bytes: 8388608,
            guest_cpu: 10s,
            drain: 5s,
            mounted_files: 65536,
            mounted_bytes: 1073741824,
            key_value_bytes: 1073741824,
            database_bytes: 1073741824,
        },
        reuse_instances: {
            "lonely",
            "part",
        },
        plain_requests: {
            "part",
        },
        access: AccessSettings {
            keys: Some(
                LoopbackOpen,
            ),
            errors: Some(
                Plain,
            ),
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
                    line: 41,
                    column: 9,
                },
            },
            "tale": DeclaredRelease {
                stable: BundleRef {
                    name: "storyteller",
                    version: Version {
                        major: 1,
                        minor: 0,
                        patch: 0,
                        pre: Prerelease("rc.1"),
                        build: BuildMetadata("cpu"),
                    },
                },
                drain: Some(
                    90s,
                ),
                keep_warm: None,
                policy: None,
                sticky: Some(
                    Header(
                        "x-user",
                    ),
                ),
                version_header: Some(
                    true,
                ),
                exact_versions: Some(
                    true,
                ),
                retires: Some(
                    Moment(
                        1801353600,
                    ),
                ),
                place: Place {
                    line: 42,
                    column: 8,
                },
            },
        },
        overrides: {
            "bobbin:/v2/story/...:storyteller": {
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
                        line: 49,
                        column: 9,
                    },
                },
            },
            "named": {
                "tale": DeclaredRelease {
                    stable: BundleRef {
                        name: "storyteller",
                        version: Version {
                            major: 2,
                            minor: 0,
                            patch: 0,
                        },
                    },
                    drain: None,
                    keep_warm: Some(
                        0ns,
                    ),
                    policy: Some(
                        Resource,
                    ),
                    sticky: Some(
                        Cookie(
                            "session",
                        ),
                    ),
                    version_header: None,
                    exact_versions: None,
                    retires: None,
                    place: Place {
                        line: 52,
                        column: 8,
                    },
                },
            },
        },
        access_overrides: {
            "bobbin:/v2/story/...:storyteller": AccessSettings {
                keys: Some(
                    Required,
                ),
                errors: Some(
                    OpenAi,
                ),
            },
            "named": AccessSettings {
                keys: None,
                errors: None,
            },
        },
        example: Some(
            Example {
                path: "/tale/anna?long=1",
                body: Some(
                    "it's",
                ),
            },
        ),
    },
    left_out: {},
    tool: {
        "lint": {
            "level": Integer(
                3,
            ),
        },
    },
    warnings: [],
}

releases: [
    "http:/story/...:storyteller story storyteller@1.0.0 sha256:8913084044196b0d4d497987655049b94d449cd709d3ff7beaba1477055146ff",
    "http:/story/...:storyteller tale storyteller@1.0.0-rc.1+cpu sha256:81ad1cbf29d694b054618b98110faa0db6ebf1b5086752e92efb711812ce5204",
    "bobbin:/v2/story/...:storyteller story storyteller@1.1.0 sha256:3aa7b12e4bd18af1e7371fb0ede4ab187a6990c295aa3a8252183dd478f958f1",
    "bobbin:/v2/story/...:storyteller tale storyteller@1.0.0-rc.1+cpu sha256:81ad1cbf29d694b054618b98110faa0db6ebf1b5086752e92efb711812ce5204",
    "named story storyteller@1.0.0 sha256:8913084044196b0d4d497987655049b94d449cd709d3ff7beaba1477055146ff",
    "named tale storyteller@2.0.0 sha256:705947ea4ef367b5b927d6c02c141c70918ecfdac19187373df5bae97c9c4bdb",
    "http:private:storyteller story storyteller@1.0.0 sha256:8913084044196b0d4d497987655049b94d449cd709d3ff7beaba1477055146ff",
    "http:private:storyteller tale storyteller@1.0.0-rc.1+cpu sha256:81ad1cbf29d694b054618b98110faa0db6ebf1b5086752e92efb711812ce5204",
]

warnings:
tests/good/maximal.toml:5:11: the application's version "1.2" is no semantic version
  help: write three numbers, such as 1.0.0
tests/good/maximal.toml:14:8: `base` is no longer a setting of the http trigger, and "/" changes nothing
  help: remove the line
tests/good/maximal.toml:108:31: the model "story" is granted twice
  help: remove one of the two
tests/good/maximal.toml:144:23: `allowed_http_hosts` is the older form of `allowed_outbound_hosts`: "example.com:8080"
  help: write in `allowed_outbound_hosts`: "http://example.com:8080", "https://example.com:8080"
tests/good/maximal.toml:149:12: no trigger leads to the component "lonely"
  help: name it in a trigger, or remove it

supported:
tests/good/maximal.toml:94:1: the executor `wagi` is not supported yet: trigger "http:/legacy:legacy" asks for it
  help: build the component for wasi:http, and remove `executor`
tests/good/maximal.toml:94:1: further components are not supported yet: trigger "http:/legacy:legacy" has some
  help: remove `components`; a trigger's own component is named by `component`
tests/good/maximal.toml:133:1: dependencies of the kind `registry` are not supported yet: the dependency "a:b/c" of component "storyteller" is a:b ^1.2.3
  help: download the component, and write its path: { path = "part.wasm" }
tests/good/maximal.toml:135:1: dependencies of the kind `registry` are not supported yet: the dependency "p:q" of component "storyteller" is >=0.1.0
  help: download the component, and write its path: { path = "part.wasm" }
tests/good/maximal.toml:137:1: dependencies of the kind `url` are not supported yet: the dependency "t:u" of component "storyteller" is https://example.com/u.wasm
  help: download the component, and write its path: { path = "part.wasm" }
