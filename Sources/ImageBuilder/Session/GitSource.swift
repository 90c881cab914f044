import Dockerfile
import Glibc
import LinuxSystem
import OCI

/// The files of a git repository, for `ADD` and as the build context, by the `git` program.
///
/// Nothing of who builds takes part: no configuration, no credential helpers, no keys but those of the agent that the
/// request gives, no hooks. What comes is bounded before it is written out.
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
      try await shallow { depth throws(BuildError) in try await git(arguments + depth) }
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
        try await git(["-C", folder, "fetch", "--quiet", "--no-tags"] + depth + ["--", "origin", ref])
      }
      return "FETCH_HEAD"
    } catch {
      guard error.code == .network, Self.isCommit(ref) else { throw error }
      // A server that gives no commit by its name gives the branches and tags, and one of them may lead to it.
      try await git([
        "-C", folder, "fetch", "--quiet", "--", "origin", "+refs/heads/*:refs/remotes/origin/*",
        "+refs/tags/*:refs/tags/*",
      ])
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

  private func git(_ arguments: [String], output: HelperProgram.Output = .nowhere) async throws(BuildError) {
    do throws(BuildError) {
      try await HelperProgram.run(
        "git", arguments, output: output, environment: Self.environment(reference, agent: agent), of: build,
        missing: "\(shown): the program git is not installed; install the package git")
    } catch {
      var error = error
      error.message = RemoteSource.withoutCredentials(error.message)
      throw error
    }
  }

  static func environment(_ reference: RemoteSource.GitReference, agent: String?) -> [String: String] {
    var configuration = [
      ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("credential.helper", ""),
      // No process in the background, and always one pack, whose size is limited.
      ("gc.auto", "0"), ("maintenance.auto", "false"), ("fetch.unpackLimit", "1"), ("transfer.unpackLimit", "1"),
      // Less than 1 kB a second for a minute is a server that has stopped.
      ("http.lowSpeedLimit", "1000"), ("http.lowSpeedTime", "60"), ("advice.detachedHead", "false"),
    ]
    // For this address alone: neither submodules nor what is written down get them.
    if let credentials = reference.credentials {
      configuration.append(("url.\(credentials.with).insteadOf", credentials.without))
    }
    var environment = [
      "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent",
      "GIT_ALLOW_PROTOCOL": "http:https:git:ssh", "GIT_CONFIG_COUNT": "\(configuration.count)",
    ]
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
