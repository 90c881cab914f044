import Distribution
import Dockerfile
import Glibc
import LinuxSystem
import NIOCore
import OCI

/// `ADD URL`.
enum Download {
  static let bytesMax: Int64 = 16 << 30

  /// Fetches into a file of the folder.
  /// - Returns: its path, and the name that it goes by.
  static func fetch(
    _ url: String, into folder: String, checksum: String?, session: BuildSession, _ vertex: ProgressVertex
  ) async throws(BuildError) -> (path: String, name: String) {
    let path = "\(folder)/download"
    var expected: Digest?
    if let checksum {
      guard let digest = Digest(checksum) else {
        throw BuildError(.dockerfile, "--checksum=\(checksum) is no digest: write sha256: and 64 hexadecimal digits")
      }
      expected = digest
    }
    let fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw BuildError(SystemError.last("create \(path)")) }
    defer { close(fd) }
    var hasher = DigestHasher(expected?.algorithm ?? .sha256)
    var count: Int64 = 0
    var name = ""
    do {
      let stream = try await session.client.fetch(url)
      name = stream.lastPathComponent
      while let buffer = try await stream.next() {
        count += Int64(buffer.readableBytes)
        guard count <= bytesMax else { throw BuildError(.network, "\(url) has more than \(bytesMax) bytes") }
        let failure = buffer.withUnsafeReadableBytes { bytes in
          hasher.update(bytes)
          return DurableFile.writeAll(fd, bytes)
        }
        guard failure == 0 else { throw BuildError(SystemError("write \(path)", errno: failure)) }
      }
    } catch let error as DistributionError {
      throw BuildError(.network, "ADD \(url): \(error.message)")
    } catch {
      throw asBuildError(error)
    }
    if let expected {
      let digest = hasher.finish()
      guard digest == expected else {
        throw BuildError(.network, "digest mismatch \(digest): \(expected): \(url) is not what --checksum says")
      }
    }
    vertex.status("\(url) \(SizeText.decimal(count)) done")
    // The same content gives the same layer, whenever it was fetched.
    var times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: 0, tv_nsec: 0)]
    futimens(fd, &times)
    if name.isEmpty {
      let path = url.prefix { $0 != "?" && $0 != "#" }
      name = path.split(separator: "/").dropFirst(2).last.map(String.init) ?? ""
    }
    return (path, name)
  }
}

/// Programs of the machine that do what we have no library for.
enum HelperProgram {
  /// Runs one to its end; its standard output goes into a file.
  static func run(
    _ program: String, _ arguments: [String], output: String? = nil, directory: String? = nil,
    environment: [String: String] = [:], missing: String
  ) async throws(BuildError) {
    let all = Subprocess.defaultEnvironment.merging(environment) { _, new in new }
    do throws(SystemError) {
      let errors = try Pipe()
      let reader = try AsyncDescriptor(owning: errors.readEnd)
      defer { reader.close() }
      var descriptors = [Subprocess.Mapping(from: errors.writeEnd, to: 2)]
      var file: Int32 = -1
      if let output {
        file = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else {
          close(errors.writeEnd)
          throw SystemError.last("create \(output)")
        }
        descriptors.append(.init(from: file, to: 1))
      }
      let process: ProcessHandle
      do throws(SystemError) {
        process = try Subprocess.spawn(
          program, arguments, environment: all, directory: directory, descriptors: descriptors, newSession: true)
      } catch {
        close(errors.writeEnd)
        if file >= 0 { close(file) }
        throw error
      }
      close(errors.writeEnd)
      if file >= 0 { close(file) }
      let tail = OutputTail()
      while let bytes = try? await reader.read(), !bytes.isEmpty { tail.append(bytes) }
      guard let status = await process.wait() else {
        kill(-process.pid, SIGKILL)
        process.signal(SIGKILL)
        _ = await Task { await process.wait(deadline: .now + .seconds(5)) }.value
        throw SystemError(program, errno: ECANCELED)
      }
      guard status.isSuccess else {
        throw SystemError("\(program) \(arguments.first ?? "")", detail: tail.lines.joined(separator: "\n"))
      }
    } catch {
      if error.errno == ECANCELED { throw .cancelled }
      if error.errno == ENOENT, error.operation.hasPrefix("find \(program) ") {
        throw BuildError(.unsupported, missing)
      }
      throw BuildError(.network, error.description)
    }
  }
}

/// `ADD` of a git repository, by the `git` program.
enum GitSource {
  /// Nothing of who builds: no configuration, no keys but those of the agent that the request gives.
  static func environment(agent: String?) -> [String: String] {
    var environment = [
      "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
      "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
    ]
    var ssh = "ssh -F /dev/null -o IdentityFile=/dev/null -o BatchMode=yes"
    if let agent { environment["SSH_AUTH_SOCK"] = agent } else { ssh += " -o IdentityAgent=none" }
    environment["GIT_SSH_COMMAND"] = ssh
    return environment
  }

  /// - Parameter agent: the socket of the SSH agent; `nil` is none.
  static func fetch(
    _ reference: RemoteSource.GitReference, into folder: String, keepsGitDirectory: Bool, checksum: String?,
    agent: String?, _ vertex: ProgressVertex
  ) async throws(BuildError) {
    let environment = environment(agent: agent)
    func git(_ arguments: [String]) async throws(BuildError) {
      try await HelperProgram.run(
        "git", arguments, environment: environment,
        missing: "ADD \(reference.remote): the program git is not installed; install the package git")
    }
    // They must not be taken for options.
    guard !reference.remote.hasPrefix("-"), !(reference.ref ?? "").hasPrefix("-") else {
      throw BuildError(.dockerfile, "\"\(reference.remote)\" is no repository")
    }
    try await git(["init", "--quiet", folder])
    try await git([
      "-C", folder, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", reference.remote, reference.ref ?? "HEAD",
    ])
    try await git(["-C", folder, "checkout", "--quiet", "--detach", "FETCH_HEAD"])
    if let checksum {
      let head = try await blocking { () throws(BuildError) in
        try system { () throws(SystemError) in try DurableFile.read("\(folder)/.git/HEAD", limit: 256) }
      }
      let commit = String(decoding: head.prefix { $0 != 0x0a }, as: UTF8.self)
      guard commit.hasPrefix(checksum.lowercased()) else {
        throw BuildError(.network, "expected checksum to match \(checksum), got \(commit): \(reference.remote)")
      }
      vertex.status("commit \(commit)")
    }
    if reference.submodules ?? true {
      try await git(["-C", folder, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"])
    }
    if !keepsGitDirectory {
      try await blocking { () throws(BuildError) in
        try system { () throws(SystemError) in try Directory.removeTree("\(folder)/.git") }
      }
    }
  }
}

enum SizeText {
  /// As buildx writes sizes: `2.10kB`, `512B`.
  static func decimal(_ bytes: Int64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"]
    var value = bytes * 100
    var unit = 0
    while value >= 100_000, unit < units.count - 1 {
      value /= 1000
      unit += 1
    }
    if unit == 0 { return "\(bytes)B" }
    let fraction = value % 100
    return "\(value / 100).\(fraction < 10 ? "0" : "")\(fraction)\(units[unit])"
  }
}
