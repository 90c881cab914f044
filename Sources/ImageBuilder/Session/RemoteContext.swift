import Distribution
import Dockerfile
import Glibc
import Layers
import LinuxSystem
import OCI

/// Build contexts that are fetched: a git repository, an archive, or a Dockerfile alone.
struct RemoteContext: Sendable {
  let client: RegistryClient
  let folder: BuildFolder
  /// The socket of the SSH agent; `nil` is none.
  let agent: String?
  /// Of a repository, whether the address says so or not (`BUILDKIT_CONTEXT_KEEP_GIT_DIR`).
  let keepsGitDirectory: Bool

  init(client: RegistryClient, folder: BuildFolder, request: BuildRequest) {
    self.client = client
    self.folder = folder
    agent = request.agents["default"]
    keepsGitDirectory = ["1", "true"].contains(request.buildArguments["BUILDKIT_CONTEXT_KEEP_GIT_DIR"]?.lowercased())
  }

  struct Fetched: Sendable {
    enum Content: Sendable {
      case folder(String)
      /// The address had a file that is no archive.
      case dockerfile([UInt8])
    }
    var content: Content
    var material: Material
  }

  func fetch(_ source: RemoteSource, reporter: ProgressReporter) async throws(BuildError) -> Fetched {
    switch source {
    case .git(let reference):
      return try await reporter.vertex("[internal] load git source \(reference.described)") {
        vertex throws(BuildError) in try await repository(reference, vertex)
      }
    case .http(let url):
      return try await reporter.vertex("[internal] load remote build context") { vertex throws(BuildError) in
        try await download(url, vertex)
      }
    }
  }

  private func repository(
    _ reference: RemoteSource.GitReference, _ vertex: ProgressVertex
  ) async throws(BuildError) -> Fetched {
    let target = try await blocking { [folder] () throws(BuildError) in try folder.newFolder().path + "/tree" }
    let material = try await GitSource(reference: reference, agent: agent, build: folder).fetch(
      into: target, keepsGitDirectory: reference.keepGitDirectory ?? keepsGitDirectory, checksum: reference.checksum,
      vertex)
    let path = try await blocking { () throws(BuildError) in
      guard let folder = reference.subdirectory else { return target }
      // Whoever wrote the repository must not name a folder of this machine by a symbolic link.
      let tree = try FileTree(target, origin: .context, label: "the repository \(reference.shown)")
      guard let inside = try tree.resolve(folder), try tree.entry(inside)?.kind == .directory else {
        throw BuildError(.notFound, "\"\(folder)\" is no folder in \(tree.label)")
      }
      return tree.hostPath(inside)
    }
    return Fetched(content: .folder(path), material: material)
  }

  private func download(_ url: String, _ vertex: ProgressVertex) async throws(BuildError) -> Fetched {
    let folder = try await blocking { [folder] () throws(BuildError) in try folder.newFolder().path }
    let fetched = try await Download.fetch(url, into: folder, checksum: nil, client: client, vertex)
    let shown = RemoteSource.withoutCredentials(url)
    if let files = try await Self.unpack(fetched.path, into: folder, label: shown, of: self.folder) {
      return Fetched(content: .folder(files), material: fetched.material)
    }
    let bytes = try await blocking { () throws(BuildError) in
      try system { () throws(SystemError) in
        try DurableFile.read(fetched.path, limit: SourceLoader.dockerfileMax)
      }
    }
    return Fetched(content: .dockerfile(bytes), material: fetched.material)
  }

  /// Unpacks an archive into a new folder in `folder`; `nil` when it begins as none.
  static func unpack(
    _ path: String, into folder: String, label: String, of build: BuildFolder
  ) async throws(BuildError) -> String? {
    let head = try await blocking { () throws(BuildError) -> [UInt8] in
      let fd = open(path, O_RDONLY | O_CLOEXEC)
      guard fd >= 0 else { throw BuildError(SystemError.last("open \(label)")) }
      defer { close(fd) }
      return Archive.head(fd)
    }
    guard Archive.looksLike(head) else { return nil }
    guard let archive = try await Archive.readable(path, head: head, label: label, folder: folder, of: build) else {
      throw BuildError(.context, "\(label) is compressed, but what is in it is no tar archive")
    }
    return try await blocking { () throws(BuildError) in
      let target = "\(folder)/context"
      try system { () throws(SystemError) in try Directory.create(target) }
      _ = try stored { () throws(OCIError) in try ArchiveExtractor.extract(archive, into: target, label: label) }
      return target
    }
  }
}

extension RemoteSource.GitReference {
  /// As it was written, for people.
  var described: String {
    let part = (ref ?? "") + (subdirectory.map { ":\($0)" } ?? "")
    return shown + (part.isEmpty ? "" : "#\(part)")
  }
}
