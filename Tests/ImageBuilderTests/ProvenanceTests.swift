import Dockerfile
import Glibc
import OCI
import TestKit
import Testing
import Wire

@testable import ImageBuilder

@Suite struct ProvenanceTests {
  private func provenance(_ mode: ProvenanceRequest.Mode, _ request: BuildRequest, _ text: String) throws -> Provenance
  {
    Provenance(
      mode: mode, builderID: "urn:test", builderVersion: "1", start: Timestamp(seconds: 1), end: Timestamp(seconds: 2),
      source: nil, dockerfileName: "Dockerfile", target: request.target, network: request.network,
      buildArguments: request.buildArguments, labels: request.labels, secretIDs: request.secrets.map(\.id),
      agentIDs: Array(request.agents.keys), hidden: Provenance.hiddenValues(request, try parse(text)))
  }

  private let subject = Provenance.Subject(
    names: ["pkg:docker/app@1?platform=linux%2Famd64"], digest: Digest(of: Array("image".utf8)), platform: "linux/amd64"
  )

  private func request() -> BuildRequest {
    var request = BuildRequest(context: .empty)
    request.buildArguments = [
      "VERSION": "2", "API_TOKEN": "s3cr3t-argument", "githubToken": "gh-s3cr3t", "HTTPS_PROXY": "http://u:pr0xy@proxy",
      "MIRROR": "https://user:p4ss@mirror.example/x?y=s3cr3t-argument",
    ]
    request.secrets = [.init(id: "npm", source: .value(Array("s3cr3t-value".utf8)))]
    request.labels = ["a": "b"]
    request.agents = ["default": "/run/agent.sock"]
    return request
  }

  @Test func aStatementHasTheFormOfItsSpecifications() throws {
    let materials = [
      Material(uri: "https://b.example/x", algorithm: "sha256", hex: "00"),
      Material(uri: "https://a.example/r.git#main", algorithm: "sha1", hex: "11"),
    ]
    let json = try provenance(.max, request(), "FROM a\n").statement(about: subject, of: materials)
    #expect(json["_type"]?.string == "https://in-toto.io/Statement/v1")
    #expect(json["predicateType"]?.string == "https://slsa.dev/provenance/v1")
    #expect(json["subject"]?.array?.first?["digest"]?["sha256"]?.string == subject.digest.hex)
    let definition = try #require(json["predicate"]?["buildDefinition"])
    #expect(
      definition["resolvedDependencies"]?.array?.compactMap { $0["uri"]?.string } == [
        "https://a.example/r.git#main", "https://b.example/x",
      ])
    #expect(definition["resolvedDependencies"]?.array?.first?["digest"]?["sha1"]?.string == "11")
    let details = try #require(json["predicate"]?["runDetails"])
    #expect(details["builder"]?["id"]?.string == "urn:test")
    #expect(details["metadata"]?["startedOn"]?.string == "1970-01-01T00:00:01Z")
    #expect(details["metadata"]?["finishedOn"]?.string == "1970-01-01T00:00:02Z")
    let parameters = try #require(definition["externalParameters"]?["request"])
    #expect(parameters["args"]?["build-arg:VERSION"]?.string == "2")
    #expect(parameters["args"]?["label:a"]?.string == "b")
    #expect(parameters["secrets"]?.array == [["id": "npm"]])
    #expect(parameters["ssh"]?.array == [["id": "default"]])
  }

  @Test func theSmallOneHasNoParameters() throws {
    let text = try provenance(.min, request(), "FROM a\n").statement(about: subject, of: []).text
    for word in ["VERSION", "API_TOKEN", "npm", "agent", "build-arg", "label:"] { #expect(!text.contains(word)) }
  }

  @Test func whatIsSecretIsNowhere() throws {
    let dockerfile = """
      ARG REGISTRY_PASSWORD=from-the-file
      FROM a
      ARG API_TOKEN
      ENV DEPLOY_KEY=env-k3y
      ADD https://files.example/${API_TOKEN}/x /x
      """
    let materials = [
      Material.download("https://u:p4ss@files.example/s3cr3t-argument/x?sig=qu3ry#fr4gment", Digest(of: [])),
      Material.download("https://files.example/from-the-file/env-k3y", Digest(of: [])),
    ]
    for mode in [ProvenanceRequest.Mode.min, .max] {
      var given = try provenance(mode, request(), dockerfile)
      given.source = Material(uri: "https://host.example/gh-s3cr3t/r.git", algorithm: "sha1", hex: "00")
      let text = given.statement(about: subject, of: materials).text
      for secret in [
        "s3cr3t", "p4ss", "pr0xy", "qu3ry", "fr4gment", "from-the-file", "env-k3y", "agent.sock",
      ] {
        #expect(!text.contains(secret), "\(mode): \(secret) in \(text)")
      }
      #expect(text.contains("https:\\/\\/files.example\\/") || text.contains("https://files.example/"))
    }
  }

  @Test(arguments: [
    "API_TOKEN", "npmToken", "DB_PASSWORD", "DBPASSWD", "GH_SECRET", "AWS_ACCESS_KEY", "myApiKey", "AUTH",
  ])
  func namesOfSecrets(_ name: String) { #expect(Provenance.isHidden(name)) }

  @Test(arguments: ["VERSION", "BASE", "PUBLIC_KEY", "MONKEY", "AUTHOR"]) func otherNames(_ name: String) {
    #expect(!Provenance.isHidden(name))
  }

  @Test func packageURLs() throws {
    func url(_ text: String, _ platform: String = "linux/arm/v7") throws -> String {
      Material.packageURL(try Reference(parsing: text), platform: platform)
    }
    #expect(try url("busybox") == "pkg:docker/busybox@latest?platform=linux%2Farm%2Fv7")
    #expect(try url("team/app:1") == "pkg:docker/team/app@1?platform=linux%2Farm%2Fv7")
    #expect(try url("localhost:5000/a/b:v1") == "pkg:docker/localhost%3A5000/a/b@v1?platform=linux%2Farm%2Fv7")
    let digest = "sha256:" + String(repeating: "a", count: 64)
    #expect(
      try url("h.example/a@\(digest)", "linux/amd64")
        == "pkg:docker/h.example/a?digest=sha256%3A\(digest.dropFirst(7))&platform=linux%2Famd64")
  }

  @Test func materialsOfImagesAndRepositories() throws {
    let image = try #require(Material.image(baseImage("team/app:1")))
    #expect(image.uri == "pkg:docker/team/app@1?platform=linux%2Famd64" && image.algorithm == "sha256")
    guard case .git(let reference) = RemoteSource("https://u:p@h.example/r.git#v1:docs") else {
      throw BuildError.cancelled
    }
    let commit = String(repeating: "1", count: 40)
    #expect(
      Material.repository(reference, commit: commit)
        == Material(uri: "https://h.example/r.git#v1", algorithm: "sha1", hex: commit))
  }
}

@Suite struct GitSourceTests {
  @Test func treesAreCounted() {
    let listing = """
      100644 blob 1111      12\ta\u{0}040000 tree 2222       -\tfolder with\ttab\u{0}120000 blob 3333       3\tfolder/l 7\u{0}\
      160000 commit 4444       -\tmodule\u{0}
      """
    let bytes = Array(listing.utf8)
    for chunk in [1, 3, 1000] {
      var size = GitSource.TreeSize()
      for start in stride(from: 0, to: bytes.count, by: chunk) {
        size.add(Array(bytes[start..<min(start + chunk, bytes.count)]))
      }
      #expect(size.entries == 4 && size.bytes == 15)
    }
    var huge = GitSource.TreeSize()
    huge.add(Array("1 b 2 99999999999999999999999999999\tx\u{0}".utf8))
    huge.add(Array("1 b 2 99999999999999999999999999999\tx\u{0}".utf8))
    #expect(huge.bytes > GitSource.bytesMax)
  }

  @Test(arguments: 0..<200 as Range<UInt64>) func anyListingIsCounted(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var size = GitSource.TreeSize()
    var ends = 0
    for _ in 0..<20 {
      let alphabet: [UInt8] = [0, 9, 32, 45, 48, 57, 97, 255]
      let bytes = (0..<50).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
      size.add(bytes)
      ends += bytes.count { $0 == 0 }
    }
    #expect(size.entries <= ends && size.bytes >= 0)
  }

  @Test func credentialsAreForOneAddressAndOnlyWhereTheyAreGiven() throws {
    guard case .git(let reference) = RemoteSource("https://user:t0%40ken%3a@h.example/team/r.git#main") else {
      throw BuildError.cancelled
    }
    let pair = try #require(reference.credentials)
    let credentials = try #require(GitSource.Credentials(address: pair.with, of: pair.without))
    #expect(credentials.user == "user" && credentials.password == "t0@ken:")
    let environment = GitSource.environment(agent: nil, credentials: credentials)
    let key = try #require(environment.first { $0.value == "credential.https://h.example/team/r.git.helper" }?.key)
    let helper = try #require(environment["GIT_CONFIG_VALUE_" + key.dropFirst("GIT_CONFIG_KEY_".count)])
    #expect(!helper.contains("t0@ken:") && environment["APUS_GIT_PASSWORD"] == "t0@ken:")
    #expect(environment["GIT_SSH_COMMAND"]?.contains("IdentityAgent=none") == true)
    #expect(environment["SSH_AUTH_SOCK"] == nil && environment["GIT_ALLOW_PROTOCOL"] == "http:https:git:ssh")
    let withAgent = GitSource.environment(agent: "/agent")
    #expect(withAgent["SSH_AUTH_SOCK"] == "/agent" && withAgent["GIT_SSH_COMMAND"]?.contains("IdentityAgent") == false)
    #expect(!withAgent.values.contains { $0.contains("t0") } && withAgent["APUS_GIT_USER"] == nil)
  }

  @Test func noCredentialEndsALineOfTheProtocol() {
    for wrong in ["u%0ahost=evil:p", "u:p%0D", "u:%00"] {
      #expect(GitSource.Credentials(address: "https://\(wrong)@h.example/r.git", of: "https://h.example/r.git") == nil)
    }
    #expect(GitSource.Credentials(address: "https://u%2:100%@h.example/", of: "")?.password == "100%")
  }

  @Test func aProgramThatFillsItsFolderIsEnded() async throws {
    let work = Folder()
    let build = try BuildFolder(work: work.path, cgroupRoot: "apus-test-build")
    defer { build.remove() }
    let (folder, _) = try build.newFolder()
    var limits = HelperProgram.Limits()
    limits.folder = HelperProgram.FolderLimit(path: folder, entriesMax: 100, bytesMax: 1 << 30)
    let script = "mkdir $0/sub; i=0; while :; do i=$((i+1)); [ $i -gt 1000 ] || : > $0/sub/$i; done"
    let error = await #expect(throws: BuildError.self) {
      try await HelperProgram.run("sh", ["-c", script, folder], limits: limits, of: build, missing: "")
    }
    #expect(error?.code == .context && error?.message.contains("more than 100 files") == true)
    let room = HelperProgram.FolderLimit(path: folder, entriesMax: 1001, bytesMax: 1 << 30)
    #expect(!room.isExceeded())
    Array(repeating: 1, count: 1 << 20).withUnsafeBytes { bytes in
      let fd = open("\(folder)/sub/1", O_WRONLY)
      defer { close(fd) }
      #expect(write(fd, bytes.baseAddress, bytes.count) == 8 << 20 && fsync(fd) == 0)
    }
    #expect(HelperProgram.FolderLimit(path: folder, entriesMax: 1001, bytesMax: 4 << 20).isExceeded())
  }

  @Test func aRepositorysAddressInTheDockerfileLosesItsCredentials() throws {
    let plan = try plan("FROM scratch\nADD https://user:t0ken@h.example/r.git /r\n")
    #expect(plan.history.map(\.createdBy) == ["ADD https://h.example/r.git /r"])
    #expect(!plan.steps.contains { $0.title.contains("t0ken") })
    guard case .copy(let copy) = plan.steps[plan.result].kind, case .git(let reference) = copy.sources[0] else {
      throw BuildError.cancelled
    }
    #expect(reference.remote == "https://user:t0ken@h.example/r.git" && reference.shown == "https://h.example/r.git")
  }
}
