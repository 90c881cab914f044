import TestKit
import Testing

@testable import Dockerfile

@Suite struct MountTests {
  private func mount(_ text: String) throws -> Dockerfile.Mount {
    var none: Expander?
    return try Dockerfile.Mount.parse(text, &none)
  }

  @Test func bind() throws {
    let mount = try mount("from=build,source=/a,target=/b,rw")
    #expect(mount.kind == .bind && mount.from == "build" && mount.source == "/a" && mount.target == "/b")
    #expect(!mount.isReadOnly)
    #expect(try self.mount("target=.").isReadOnly)
    #expect(try self.mount("target=.,ro=false").isReadOnly == false)
    #expect(try self.mount("type=bind,dst=/x,readwrite=0").isReadOnly)
  }

  @Test func cache() throws {
    let mount = try mount("type=cache,dst=/var//cache/,sharing=locked,mode=0700,uid=1,gid=2")
    #expect(mount.kind == .cache && mount.sharing == .locked && !mount.isReadOnly)
    #expect(mount.mode == 0o700 && mount.uid == 1 && mount.gid == 2)
    #expect(mount.effectiveID == "/var/cache")
    #expect(mount.effectiveMode == 0o700)
    #expect(try self.mount("type=cache,target=/a,id=x,ro,sharing=PRIVATE").effectiveID == "x")
    #expect(try self.mount("target=/a,type=cache").effectiveMode == 0o755)
  }

  @Test func tmpfs() throws {
    #expect(try mount("type=tmpfs,target=/t,size=64m").sizeMax == 64 << 20)
    #expect(try mount("type=tmpfs,target=/t").sizeMax == nil)
  }

  @Test func secret() throws {
    var mount = try mount("type=secret,id=aws,target=/root/.aws,required,mode=0440")
    #expect(mount.isRequired && mount.effectiveID == "aws" && mount.effectiveTarget == "/root/.aws")
    mount = try self.mount("type=secret,id=key")
    #expect(mount.effectiveTarget == "/run/secrets/key" && mount.effectiveMode == 0o400 && !mount.isRequired)
    mount = try self.mount("type=secret,id=key,env=KEY")
    #expect(mount.effectiveTarget == nil && mount.environment == "KEY")
    mount = try self.mount("type=secret,target=/a/token")
    #expect(mount.effectiveID == "token")
    mount = try self.mount("required=true,type=secret,src=x")
    #expect(mount.isRequired && mount.effectiveID == "x")
  }

  @Test func ssh() throws {
    let mount = try mount("type=ssh")
    #expect(mount.effectiveID == "default" && mount.effectiveTarget == nil && mount.effectiveMode == 0o600)
    #expect(try self.mount("type=ssh,id=github,target=/s").effectiveTarget == "/s")
  }

  @Test func quotedFields() throws {
    #expect(try mount("type=cache,\"target=/a,b\"").target == "/a,b")
    #expect(try Dockerfile.Mount.csvFields("a,\"b\"\"c\",,d") == ["a", "b\"c", "", "d"])
  }

  @Test func variablesWait() throws {
    let text = "type=cache,id=$A,target=/x,uid=$U,sharing=$S"
    #expect(try mount(text).id == nil)
    var expander: Expander? = Expander { ["A": "a", "U": "7", "S": "locked"][$0] }
    let expanded = try Dockerfile.Mount.parse(text, &expander)
    #expect(expanded.id == "a" && expanded.uid == 7 && expanded.sharing == .locked)
  }

  @Test(arguments: [
    ("type=cache,target=/", "invalid mount target"), ("target=/a/..", "invalid mount target"),
    ("type=bind,target=/a,mode=0700", "mode not allowed for \"bind\" type mounts"),
    ("type=tmpfs,target=/a,uid=1", "uid not allowed"),
    ("type=secret", "one of source, target required"), ("type=secret,id=a,from=b", "should not have a from"),
    ("type=secret,id=a,sharing=locked", "should not define sharing"),
    ("type=secret,id=a,source=b", "both source and id can't be set"),
    ("type=bind,target=/a,sharing=locked", "invalid cache sharing set for bind mount"),
    ("type=cache,target=/a,required", "unexpected key 'required' for mount type 'cache'"),
    ("type=cache,target=/a,size=1m", "unexpected key 'size'"),
    ("type=tmpfs,target=/a,size=x", "invalid value for size: x"),
    ("type=cache,target=/a,uid=-1", "invalid value -1 for uid"),
    ("type=cache,target=/a,mode=9", "invalid value 9 for mode"),
    ("type=cache,target=/a,ro=x", "invalid value for ro: x"), ("type=cache,target=/a,env=X", "unexpected key 'env'"),
    ("type=cache,target=/a,\"x", "a quote is not closed"), ("type=ssh,from=a", "should not have a from"),
    ("type=cache,target=/a,uid=99999999999", "invalid value"),
  ])
  func errors(_ text: String, _ part: String) {
    let error = #expect(throws: DockerfileError.self) { try mount(text) }
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
  }

  @Test(
    arguments: [
      ("0", 0), ("10", 10), ("1k", 1024), ("1KB", 1024), ("1.5MiB", 1_572_864), ("2 g", 2 << 30), ("1tb", 1 << 40),
      ("", nil), ("k", nil), ("1x", nil), ("-1", nil), ("1.", nil), ("99999999p", nil),
    ] as [(String, Int64?)])
  func sizes(_ text: String, _ expected: Int64?) {
    #expect(Dockerfile.Mount.parseSize(text) == expected)
  }
}

@Suite struct ValueTests {
  @Test(
    arguments: [
      ("755", 0o644, false, 0o755), ("0644", 0o777, false, 0o644), ("0", 0o777, false, 0), ("4755", 0, false, 0o4755),
      ("+x", 0o644, false, 0o755), ("u+x", 0o644, false, 0o744), ("a-w", 0o666, false, 0o444),
      ("go=", 0o777, false, 0o700),
      ("u=rwX,go=rX", 0o600, false, 0o644), ("u=rwX,go=rX", 0o700, true, 0o755), ("u=rwX,go=rX", 0o711, false, 0o755),
      ("g=u", 0o740, false, 0o770), ("o=g", 0o750, false, 0o755), ("u+s", 0o755, false, 0o4755),
      ("g+s", 0o755, false, 0o2755),
      ("+t", 0o777, true, 0o1777), ("a=rw", 0o4755, false, 0o666), ("u=rw", 0o4755, false, 0o655),
      ("+X", 0o644, false, 0o644),
      ("+X", 0o644, true, 0o755), ("u+x-w", 0o644, false, 0o544), ("u+x,g-r", 0o644, false, 0o704),
      ("=", 0o777, false, 0),
      ("u=g", 0o040, false, 0o440), ("a+rwx,o-w", 0, false, 0o775), ("-x", 0o755, false, 0o644),
      ("-s", 0o6755, false, 0o755),
    ] as [(String, UInt32, Bool, UInt32)])
  func modes(_ text: String, _ before: UInt32, _ isDirectory: Bool, _ after: UInt32) throws {
    #expect(try FileMode.parse(text).applied(to: before, isDirectory: isDirectory) == after)
  }

  @Test(arguments: ["", "8", "77777", "888", "x", "u", "u+q", "u+x,", ",u+x", "+x y", "7x", "b+x", "0o755", "-"])
  func badModes(_ text: String) {
    if text == "-" {
      // Taking nothing away is legal, as it is for chmod.
      #expect(throws: Never.self) { try FileMode.parse(text) }
      return
    }
    #expect(throws: DockerfileError.self) { try FileMode.parse(text) }
  }

  @Test(arguments: [
    ("80", ["80/tcp"]), ("80/tcp", ["80/tcp"]), ("53/UDP", ["53/udp"]), ("1-3", ["1/tcp", "2/tcp", "3/tcp"]),
    ("8000-8001/sctp", ["8000/sctp", "8001/sctp"]), ("80/", ["80/tcp"]), ("127.0.0.1:80:8080", ["8080/tcp"]),
  ])
  func ports(_ text: String, _ expected: [String]) throws {
    #expect(try Dockerfile.ExposedPort.parse(text) == expected)
  }

  @Test(arguments: ["", "0", "65536", "x", "80/icmp", "3-1", "1-2-3", "-1", "80:", "/tcp", "1-", "+80"])
  func badPorts(_ text: String) {
    if text == "+80" { return }
    #expect(throws: DockerfileError.self) { try Dockerfile.ExposedPort.parse(text) }
  }

  private func git(
    _ remote: String, _ ref: String? = nil, _ folder: String? = nil, _ checksum: String? = nil, submodules: Bool? = nil,
    keeps: Bool? = nil
  ) -> RemoteSource {
    .git(
      .init(
        remote: remote, ref: ref, subdirectory: folder, checksum: checksum, submodules: submodules,
        keepGitDirectory: keeps))
  }

  @Test func remoteSources() {
    #expect(RemoteSource("a/b") == nil)
    #expect(RemoteSource("./x@y") == nil)
    #expect(RemoteSource("file://x") == nil)
    #expect(RemoteSource("https://e.com/a.tar.gz") == .http("https://e.com/a.tar.gz"))
    #expect(RemoteSource("HTTP://e.com/a?x=.git") == .http("HTTP://e.com/a?x=.git"))
    #expect(RemoteSource("https://e.com/a.git") == git("https://e.com/a.git"))
    #expect(RemoteSource("https://e.com/a.git#v1") == git("https://e.com/a.git", "v1"))
    #expect(RemoteSource("https://e.com/a.git#v1:docs/") == git("https://e.com/a.git", "v1", "docs"))
    #expect(RemoteSource("https://e.com/a.git#:../docs") == git("https://e.com/a.git", nil, "docs"))
    #expect(RemoteSource("git@e.com:u/r.git#main") == git("git@e.com:u/r.git", "main"))
    #expect(RemoteSource("git@e.com:u/r") == git("git@e.com:u/r"))
    #expect(RemoteSource("git://e.com/r") == git("git://e.com/r"))
    #expect(RemoteSource("ssh://git@e.com:22/r.git") == git("ssh://git@e.com:22/r.git"))
    #expect(
      RemoteSource("https://e.com/a.git?ref=v%2F1&subdir=/d&checksum=ab&submodules=false&keep-git-dir=true&x=1")
        == git("https://e.com/a.git?x=1", "v/1", "d", "ab", submodules: false, keeps: true))
  }

  @Test(arguments: [
    ("https://u:p@e.com/a.git#v1", "https://e.com/a.git#v1"), ("HTTPS://token@e.com", "HTTPS://e.com"),
    ("http://u:p@x@e.com/", "http://e.com/"), ("https://e.com/@/a:b@c", "https://e.com/@/a:b@c"),
    ("https://e.com?x=a@b", "https://e.com?x=a@b"), ("ssh://git@e.com:22/r", "ssh://git@e.com:22/r"),
    ("ssh://git:p@e.com/r", "ssh://git@e.com/r"), ("git@e.com:u/r", "git@e.com:u/r"), ("://", "://"), ("", ""),
    ("fatal: 'https://u:p@e.com/r' and http://v@f.org: no", "fatal: 'https://e.com/r' and http://f.org: no"),
    ("https://u:p@", "https://"), ("http://a@https://b:p@c/", "http://https://c/"), ("a b@c", "a b@c"),
  ])
  func credentialsAreLeftOut(_ text: String, _ expected: String) {
    #expect(RemoteSource.withoutCredentials(text) == expected)
  }

  @Test(arguments: 0..<300 as Range<UInt64>) func noPasswordIsLeftIn(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let words = ["https://", "http://", "ssh://", "u", ":", "@", "/", "#", "?", " ", "é", "\"", "e.com", "\u{0}"]
    let text = (0..<Int.random(in: 0..<20, using: &generator)).map { _ in words.randomElement(using: &generator) ?? "" }
      .joined()
    let once = RemoteSource.withoutCredentials("\(text) https://user:passw0rd@e.com/ \(text)")
    #expect(!once.contains("passw0rd"), "\(text)")
    #expect(RemoteSource.withoutCredentials(once) == once, "\(text)")
  }

  @Test func credentialsOfRepositories() {
    func pair(_ text: String) -> [String]? {
      guard case .git(let reference) = RemoteSource(text) else { return nil }
      return reference.credentials.map { [$0.without, $0.with] }
    }
    #expect(pair("https://u:p@e.com/a.git#x") == ["https://e.com/a.git", "https://u:p@e.com/a.git"])
    #expect(pair("https://e.com/a.git") == nil)
    #expect(pair("ssh://git@e.com/a.git") == nil && pair("git@e.com:a") == nil)
  }

  @Test(arguments: [
    ("https://e.com/a/b.txt", "b.txt"), ("https://e.com/a%20b?x#y", "a b"), ("https://e.com", nil),
    ("https://e.com/", nil),
    ("https://e.com/a/", nil), ("https://e.com/..", nil), ("https://e.com/a%2Fb", nil), ("https://e.com/%00", nil),
  ])
  func fileNames(_ url: String, _ expected: String?) {
    #expect(RemoteSource.fileName(of: url) == expected)
  }

  @Test(arguments: [
    ("a/b/../c/", "a/c"), ("/", "/"), ("", "."), ("./a", "a"), ("../a", "../a"), ("/../a", "/a"), ("a//b", "a/b"),
    ("a/../..", ".."), ("/a/..", "/"),
  ])
  func cleanPaths(_ path: String, _ expected: String) {
    #expect(cleanPath(path) == expected)
  }

  @Test(arguments: [
    ("RUNN", "RUN"), ("CMDD", "CMD"), ("COYP", "COPY"), ("EXPSE", "EXPOSE"), ("ABRAKADABRA", nil), ("X", nil),
    ("", nil),
    ("WORKDIRECTORY", nil), ("LABLE", "LABEL"),
  ])
  func suggestions(_ word: String, _ expected: String?) {
    #expect(Suggestion.nearest(to: word, among: Parser.instructionNames) == expected)
  }
}
