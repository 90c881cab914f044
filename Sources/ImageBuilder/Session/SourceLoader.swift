import Distribution
import Dockerfile
import Glibc
import LinuxSystem

/// Reads the Dockerfile and opens the context.
struct SourceLoader: Sendable {
  var request: BuildRequest
  let reporter: ProgressReporter
  let folder: BuildFolder
  let client: RegistryClient

  struct Loaded: Sendable {
    var dockerfile: Dockerfile
    var context: FileTree?
    var ignore: DockerIgnore?
    /// A context that was fetched.
    var material: Material?
  }

  static let dockerfileMax = 1 << 20

  func load() async throws(BuildError) -> Loaded {
    switch request.context {
    case .empty: return try await load(context: nil)
    case .directory(let path):
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw BuildError(.notFound, "unable to prepare context: path \"\(path)\" not found")
      }
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw BuildError(.invalid, "unable to prepare context: \"\(path)\" is no folder")
      }
      return try await load(context: path)
    case .archive(let path):
      let files = try await reporter.vertex("[internal] load remote build context") { _ throws(BuildError) in
        let target = try await blocking { [folder] () throws(BuildError) in try folder.newFolder().path }
        guard
          let files = try await RemoteContext.unpack(
            path, into: target, label: "the build context", of: folder)
        else {
          throw BuildError(.context, "the build context is neither a folder nor a tar archive")
        }
        return files
      }
      return try await load(context: files)
    case .remote(let source):
      let fetched = try await RemoteContext(client: client, folder: folder, request: request).fetch(
        source, reporter: reporter)
      var loaded: Loaded
      switch fetched.content {
      case .folder(let path): loaded = try await load(context: path)
      case .dockerfile(let bytes):
        guard request.dockerfile == .standard else {
          throw BuildError(.invalid, "the build context is a Dockerfile alone, and -f names another one")
        }
        var alone = self
        alone.request.dockerfile = .text(bytes, name: "Dockerfile")
        loaded = try await alone.load(context: nil)
      }
      loaded.material = fetched.material
      return loaded
    }
  }

  private func load(context: String?) async throws(BuildError) -> Loaded {
    try await blocking { [self] () throws(BuildError) in try read(context: context) }
  }

  private func read(context: String?) throws(BuildError) -> Loaded {
    let (bytes, name, sidecar) = try dockerfileBytes(context: context)
    let definition = reporter.start("[internal] load build definition from \(name)")
    let dockerfile: Dockerfile
    do throws(BuildError) {
      definition.status("transferring dockerfile: \(SizeText.decimal(Int64(bytes.count))) done")
      dockerfile = try parsed { () throws(DockerfileError) in try Dockerfile.parse(bytes, name: name) }
      definition.finish()
    } catch {
      definition.fail(error)
      throw error
    }
    guard let context else { return Loaded(dockerfile: dockerfile, context: nil, ignore: nil) }
    let vertex = reporter.start("[internal] load .dockerignore")
    do throws(BuildError) {
      var ignore: DockerIgnore?
      if let sidecar {
        ignore = try parsed { () throws(DockerfileError) in try DockerIgnore(sidecar) }
      } else {
        let plain = try contextTree(context)
        if let bytes = try plain.document(".dockerignore", limit: Self.dockerfileMax) {
          ignore = try parsed { () throws(DockerfileError) in try DockerIgnore(bytes) }
          vertex.status("transferring context: \(SizeText.decimal(Int64(bytes.count))) done")
        }
      }
      if ignore?.isEmpty == true { ignore = nil }
      let tree = try FileTree(context, origin: .context, label: "the build context", ignore: ignore)
      vertex.finish()
      return Loaded(dockerfile: dockerfile, context: tree, ignore: ignore)
    } catch {
      vertex.fail(error)
      throw error
    }
  }

  /// The text, the name for messages, and the `.dockerignore` that belongs to this Dockerfile alone.
  private func dockerfileBytes(context: String?) throws(BuildError) -> ([UInt8], String, [UInt8]?) {
    switch request.dockerfile {
    case .text(let bytes, let name): return (bytes, name, nil)
    case .path(let path):
      let isInContext =
        switch request.context {
        case .archive, .remote: true
        case .directory, .empty: false
        }
      if isInContext, let context { return try read(path, in: try contextTree(context)) }
      return try read(path, name: FilePath.name(path))
    case .standard:
      guard let context else { throw BuildError(.invalid, "there is neither a context nor a Dockerfile") }
      let tree = try contextTree(context)
      for name in ["Dockerfile", "dockerfile", "Containerfile"] where try tree.entry(name) != nil {
        return try read(name, in: tree)
      }
      let plain = try PlainFolder(context)
      return (Array(plain.dockerfile.utf8), plain.name, nil)
    }
  }

  private func contextTree(_ path: String) throws(BuildError) -> FileTree {
    try FileTree(path, origin: .context, label: "the build context")
  }

  /// What belongs to the context is read as the context is: no symbolic link leads out of it.
  private func read(_ name: String, in tree: FileTree) throws(BuildError) -> ([UInt8], String, [UInt8]?) {
    guard let bytes = try tree.document(name, limit: Self.dockerfileMax) else {
      throw BuildError(
        .notFound, "failed to read dockerfile: open \(name): no such file or directory in \(tree.label)")
    }
    return (bytes, name, try tree.document("\(name).dockerignore", limit: Self.dockerfileMax))
  }

  /// A file that the request itself names, wherever it is.
  private func read(_ path: String, name: String) throws(BuildError) -> ([UInt8], String, [UInt8]?) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw BuildError(.notFound, "failed to read dockerfile: open \(name): no such file or directory")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw BuildError(.invalid, "failed to read dockerfile: \(name) is no file")
    }
    let bytes = try system { () throws(SystemError) in try DurableFile.read(path, limit: Self.dockerfileMax) }
    let sidecar = "\(path).dockerignore"
    let ignore =
      access(sidecar, F_OK) == 0
      ? try system { () throws(SystemError) in try DurableFile.read(sidecar, limit: Self.dockerfileMax) } : nil
    return (bytes, name, ignore)
  }
}

/// A folder without a Dockerfile that is built all the same, by a Dockerfile that is made for it.
struct PlainFolder: Sendable {
  /// For messages.
  var name: String
  var dockerfile: String

  init(_ path: String) throws(BuildError) {
    if access("\(path)/index.html", F_OK) == 0 {
      name = "static site (index.html)"
      dockerfile = """
        # A static site: its files, served by busybox's httpd.
        ARG BASE=busybox
        FROM ${BASE}
        COPY --exclude=.git . /www/
        USER 65534:65534
        EXPOSE 8080
        ENTRYPOINT ["busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]

        """
      return
    }
    if access("\(path)/Package.swift", F_OK) == 0 {
      name = "Swift package (Package.swift)"
      dockerfile = """
        # A Swift package: its executables, linked statically against the Swift runtime, and their resources.
        ARG BUILDER=swift:6.2
        ARG BASE=debian:stable-slim
        FROM ${BUILDER} AS build
        ARG EXECUTABLE
        WORKDIR /src
        COPY --exclude=.build --exclude=.git . .
        RUN --mount=type=cache,target=/src/.build <<'EOT'
        set -eu
        swift build -c release --static-swift-stdlib
        mkdir /out
        find .build/release/ -maxdepth 1 -type f -executable ! -name '*.so' -exec cp {} /out/ ';'
        programs=$(ls /out)
        find .build/release/ -maxdepth 1 -type d -name '*.resources' -exec cp -R {} /out/ ';'
        start=${EXECUTABLE:-$programs}
        if ! [ -x "/out/$start" ]; then
          echo "which one does the image start? --build-arg EXECUTABLE= one of:" $programs >&2
          exit 1
        fi
        [ "$start" = entrypoint ] || ln -s "$start" /out/entrypoint
        EOT
        FROM ${BASE}
        COPY --from=build /out/ /usr/local/bin/
        USER 65534:65534
        ENTRYPOINT ["/usr/local/bin/entrypoint"]

        """
      return
    }
    throw BuildError(
      .notFound,
      "failed to read dockerfile: open Dockerfile: no such file or directory, and \(path) is neither a static site "
        + "(index.html) nor a Swift package (Package.swift); name a file with -f")
  }
}
