import Dockerfile
import Glibc
import LinuxSystem

/// The files of a git repository, for `ADD` and as the build context, by the `git` program.
///
/// Nothing of who builds takes part: no configuration, no credential helpers, no keys but those of the agent that the
/// request gives, no hooks. The files of the repository itself are bounded before they are written out; with
/// submodules, whose number nobody says beforehand, the folder is looked at while they come.
struct GitSource: Sendable {
  let reference: RemoteSource.GitReference
  /// The socket of the SSH agent; `nil` is none.
  let agent: String?
  let build: BuildFolder

  static let entriesMax = FileTree.entriesMax
  static let bytesMax = Download.bytesMax

  /// Fetches into a new folder.
  ///
  /// - Parameter checksum: what the commit must be, or begin with.
  /// - Returns: which commit it is.
  func fetch(
    into folder: String, keepsGitDirectory: Bool, checksum: String?, _ vertex: ProgressVertex
  ) async throws(BuildError) -> Material {
    // They must not be taken for options.
    guard !reference.remote.hasPrefix("-"), !(reference.ref ?? "").hasPrefix("-") else {
      throw BuildError(.invalid, "\"\(reference.remote)\" is no repository")
    }
    try await git(["init", "--quiet", "--template=", folder])
    // Without credentials: it stays in the folder, and relative addresses of submodules start from it.
    try await git(["-C", folder, "remote", "add", "origin", reference.credentials?.without ?? reference.remote])
    let commit = try await checkedCommit(try await fetchCommit(folder), folder, checksum)
    vertex.status("commit \(commit)")
    try await git(["-C", folder, "checkout", "--quiet", "--detach", commit])
    if reference.submodules ?? true {
      let arguments = ["-C", folder, "submodule", "--quiet", "update", "--init", "--recursive"]
      var limits = HelperProgram.Limits()
      // Twice: what git keeps of them is in there, too.
      limits.folder = HelperProgram.FolderLimit(
        path: folder, entriesMax: 2 * Self.entriesMax, bytesMax: 2 * Self.bytesMax)
      try await shallow { [limits] depth throws(BuildError) in try await git(arguments + depth, limits: limits) }
    }
    if !keepsGitDirectory {
      try await blocking { () throws(BuildError) in
        try system { () throws(SystemError) in try Directory.removeTree("\(folder)/.git") }
      }
    }
    return .repository(reference, commit: commit)
  }

  /// - Returns: what git calls here what was fetched.
  private func fetchCommit(_ folder: String) async throws(BuildError) -> String {
    let ref = reference.ref ?? "HEAD"
    do throws(BuildError) {
      try await shallow { depth throws(BuildError) in
        try await gitFetch(folder, ["--no-tags"] + depth + ["--", "origin", ref])
      }
      return "FETCH_HEAD"
    } catch {
      guard error.code == .network, Self.isCommit(ref) else { throw error }
      // A server that gives no commit by its name gives the branches and tags, and one of them may lead to it.
      try await gitFetch(
        folder, ["--", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"])
      return ref
    }
  }

  /// A server of plain files cannot leave history out.
  private func shallow(_ body: (_ depth: [String]) async throws(BuildError) -> Void) async throws(BuildError) {
    do throws(BuildError) {
      try await body(["--depth", "1"])
    } catch {
      guard error.message.contains("does not support shallow") else { throw error }
      try await body([])
    }
  }

  /// The commit that was fetched, when it is the wanted one and its files are not too many.
  private func checkedCommit(_ fetched: String, _ folder: String, _ checksum: String?) async throws(BuildError)
    -> String
  {
    var name: [UInt8] = []
    try await git(
      ["-C", folder, "rev-parse", "--verify", "--quiet", "\(fetched)^{commit}"],
      output: .reader { bytes throws(BuildError) in name += bytes.prefix(256) })
    let commit = String(decoding: name.prefix { $0 != 0x0a }, as: UTF8.self)
    guard Self.isCommit(commit) else { throw BuildError(.network, "\(shown) gave no commit") }
    if let checksum {
      guard !checksum.isEmpty, commit.hasPrefix(checksum.lowercased()) else {
        throw BuildError(.network, "expected checksum to match \(checksum), got \(commit): \(shown)")
      }
    }
    // A small pack can hold folders of folders without an end.
    var size = TreeSize()
    try await git(
      ["-C", folder, "ls-tree", "-r", "-t", "-l", "-z", commit],
      output: .reader { bytes throws(BuildError) in
        size.add(bytes)
        guard size.entries <= Self.entriesMax, size.bytes <= Self.bytesMax else {
          throw BuildError(
            .context,
            "\(shown) has more than \(Self.entriesMax) files or \(SizeText.decimal(Self.bytesMax)) at commit \(commit)")
        }
      })
    return commit
  }

  private var shown: String { reference.shown }

  static func isCommit(_ text: String) -> Bool {
    (text.utf8.count == 40 || text.utf8.count == 64)
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  /// The only call that has the credentials: what a repository's files name is asked for without them.
  private func gitFetch(_ folder: String, _ arguments: [String]) async throws(BuildError) {
    let credentials = try reference.credentials.map { pair throws(BuildError) in
      guard let credentials = Credentials(address: pair.with, of: pair.without) else {
        throw BuildError(.invalid, "\(shown): the user or password in the address has a control character in it")
      }
      return credentials
    }
    try await git(
      ["-C", folder, "fetch", "--quiet", "--no-recurse-submodules"] + arguments, credentials: credentials)
  }

  private func git(
    _ arguments: [String], output: HelperProgram.Output = .nowhere, credentials: Credentials? = nil,
    limits: HelperProgram.Limits = HelperProgram.Limits()
  ) async throws(BuildError) {
    do throws(BuildError) {
      try await HelperProgram.run(
        "git", arguments, output: output, environment: Self.environment(agent: agent, credentials: credentials),
        limits: limits, of: build, missing: "\(shown): the program git is not installed; install the package git")
    } catch {
      var error = error
      error.message = RemoteSource.withoutCredentials(error.message)
      throw error
    }
  }

  /// User and password of an address, as they are meant.
  struct Credentials: Equatable {
    /// Without them.
    var address: String
    var user: String
    var password: String

    /// `nil` when they cannot be told to git.
    init?(address: String, of plain: String) {
      guard let start = address.firstRange(of: "://")?.upperBound else { return nil }
      let authority = address[start...].prefix { !"/?#".contains($0) }
      guard let sign = authority.lastIndex(of: "@") else { return nil }
      let parts = authority[..<sign].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard let user = Self.decoded(parts[0]), let password = Self.decoded(parts.count > 1 ? parts[1] : "") else {
        return nil
      }
      (self.address, self.user, self.password) = (plain, user, password)
    }

    /// Percent-decoding (RFC 3986, section 2.1). A line's end or a zero byte would end a line of git's protocol.
    private static func decoded(_ text: Substring) -> String? {
      var bytes: [UInt8] = []
      var rest = Array(text.utf8)[...]
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), rest.count > 1,
          let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
        {
          bytes.append(value)
          rest = rest.dropFirst(2)
        } else {
          bytes.append(byte)
        }
      }
      return bytes.contains { $0 < 0x20 || $0 == 0x7F } ? nil : String(decoding: bytes, as: UTF8.self)
    }
  }

  static func environment(agent: String?, credentials: Credentials? = nil) -> [String: String] {
    var configuration = [
      ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("credential.helper", ""),
      // No process in the background, and always one pack, whose size is limited.
      ("gc.auto", "0"), ("maintenance.auto", "false"), ("fetch.unpackLimit", "1"), ("transfer.unpackLimit", "1"),
      // Less than 1 kB a second for a minute is a server that has stopped.
      ("http.lowSpeedLimit", "1000"), ("http.lowSpeedTime", "60"), ("advice.detachedHead", "false"),
    ]
    // git compares whole addresses, up to a slash in the path, after it has folded `..`: a redirect to another place is
    // asked without them, too. They are in the environment and not in an argument, which every process can read.
    if let credentials {
      configuration.append(("credential.useHttpPath", "true"))
      configuration.append(
        (
          "credential.\(credentials.address).helper",
          #"!f() { printf 'username=%s\npassword=%s\n' "$APUS_GIT_USER" "$APUS_GIT_PASSWORD"; }; f"#
        ))
    }
    var environment = [
      "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent",
      "GIT_ALLOW_PROTOCOL": "http:https:git:ssh", "GIT_CONFIG_COUNT": "\(configuration.count)",
    ]
    if let credentials {
      environment["APUS_GIT_USER"] = credentials.user
      environment["APUS_GIT_PASSWORD"] = credentials.password
    }
    for (index, (name, value)) in configuration.enumerated() {
      environment["GIT_CONFIG_KEY_\(index)"] = name
      environment["GIT_CONFIG_VALUE_\(index)"] = value
    }
    var ssh =
      "ssh -F /dev/null -o IdentityFile=/dev/null -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15"
    if let agent { environment["SSH_AUTH_SOCK"] = agent } else { ssh += " -o IdentityAgent=none" }
    environment["GIT_SSH_COMMAND"] = ssh
    return environment
  }

  /// Counts what `git ls-tree -l -z` lists: `MODE TYPE HASH SIZE<tab>PATH<nul>`, the size `-` for what is no file.
  struct TreeSize: Equatable {
    private(set) var entries = 0
    private(set) var bytes: Int64 = 0
    /// Of the entry that is being read: which field, and its size so far.
    private var field = 0
    private var wasSpace = false
    private var isPath = false
    private var size: Int64 = 0

    mutating func add(_ text: [UInt8]) {
      for byte in text {
        if isPath {
          guard byte == 0 else { continue }
          entries += 1
          bytes = bytes.addingReportingOverflow(size).overflow ? .max : bytes + size
          (field, wasSpace, isPath, size) = (0, false, false, 0)
        } else if byte == UInt8(ascii: "\t") {
          isPath = true
        } else if byte == UInt8(ascii: " ") {
          if !wasSpace { field += 1 }
          wasSpace = true
        } else {
          wasSpace = false
          if field == 3, (0x30...0x39).contains(byte), size < Int64.max / 10 - 10 {
            size = size * 10 + Int64(byte - 0x30)
          }
        }
      }
    }
  }
}
