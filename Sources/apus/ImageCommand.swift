import ArgumentParser
import Content
import Distribution
import Glibc
import OCI
import Synchronization

struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image", abstract: "Import, pull, push, tag, save, list and remove images.",
    discussion: """
      Images live in the data directory, and a pod that names one starts from it at once. A server may be running.

        apus image import web-app.tar
        apus image pull quay.io/team/base:3
        apus image push registry.example/team/app:1
        kubectl create deployment web --image=localhost/web-app:1

      Sign in with `docker login`, `podman login` or `skopeo login`: their files are read.
      """,
    subcommands: [
      Import.self, List.self, Pull.self, Push.self, Tag.self, Save.self, Remove.self, Prune.self,
    ], defaultSubcommand: List.self)

  struct Pull: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Pull images from their registries.")

    @OptionGroup var options: DataOptions
    @Option(
      help: ArgumentHelp("Of an index, the image for this platform (default: this machine's).", valueName: "os/arch"))
    var platform: String?
    @Argument(help: "Names with a tag or digest.") var images: [String]

    func run() async throws {
      try await Terminal.reporting {
        let content = try ContentStore.open(root: options.made.images)
        let client = try RegistryAccess.client()
        let platform = try platform.map { try Platform(parsing: $0) } ?? .host
        for image in images {
          let reference = try Reference(parsing: image)
          guard reference.registry != "localhost" else {
            throw Failure("\(reference) names no registry: an image of that name is built or imported on this machine")
          }
          let digest = try await client.pull(
            reference, into: content, platform: platform, credentials: try RegistryAccess.credentials(for: reference),
            progress: TransferProgress(image).report)
          print("pulled \(reference) \(digest)")
        }
        client.close()
      }
    }
  }

  struct Push: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Push an image to a registry.")

    @OptionGroup var options: DataOptions
    @Flag(help: "Also push what refers to the image: signatures, SBOMs.") var referrers = false
    @Argument(help: "The image's name here.") var image: String
    @Argument(help: "The name there (default: the same).") var target: String?

    func run() async throws {
      try await Terminal.reporting {
        let content = try ContentStore.open(root: options.existing.images)
        let source = try Reference(parsing: image)
        let reference = try target.map { try Reference(parsing: $0) } ?? source
        let repository = try content.repository(for: source)
        guard reference.registry != "localhost" else {
          throw Failure("\(reference) names no registry; say where it goes: apus image push \(image) HOST/NAME:TAG")
        }
        if try content.repository(for: reference).host.isEmpty {
          throw Failure(
            "\(reference) is this machine's own registry, which has what this store has"
              + (target == nil ? "; there is nothing to push" : ": apus image tag \(image) \(reference)"))
        }
        let wanted = source.digest.map(ManifestReference.digest) ?? .tag(source.tag ?? "latest")
        let client = try RegistryAccess.client()
        let digest = try await client.push(
          wanted, in: repository, of: content, to: reference, withReferrers: referrers,
          credentials: try RegistryAccess.credentials(for: reference), progress: TransferProgress(image).report)
        client.close()
        print("pushed \(reference) \(digest)")
      }
    }
  }

  struct Tag: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Give an image one more name. Nothing is copied.")

    @OptionGroup var options: DataOptions
    @Argument(help: "A name, digest or id.") var image: String
    @Argument(help: "The new name.") var name: String

    func run() async throws {
      try await Terminal.reporting {
        try ImageStore.open(root: options.existing.images).tag(image, as: name)
        print("tagged \(try Reference(parsing: name))")
      }
    }
  }

  struct Save: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write images into an archive that docker, podman, skopeo and apus read.")

    @OptionGroup var options: DataOptions
    @Option(help: "oci-archive, docker-archive (both tar files) or oci (a folder).") var format = ArchiveFormat
      .ociArchive
    @Flag(help: "Of an index, all images instead of this machine's.") var allPlatforms = false
    @Option(name: .shortAndLong, help: ArgumentHelp("The file or folder.", valueName: "path")) var output: String
    @Argument(help: "Names, digests or ids.") var images: [String]

    func run() async throws {
      try await Terminal.reporting {
        var status = stat()
        if format != .ociFolder, stat(output, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
          throw Failure("\(output) is a folder; name a file in it, or say --format oci")
        }
        let store = try ImageStore.open(root: options.existing.images)
        try await store.exportArchive(images, to: output, format: format, allPlatforms: allPlatforms)
        print("saved \(output)")
      }
    }
  }

  struct Prune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remove what no image, tag or running container needs.",
      discussion: """
        A server does this by itself, every now and then, and keeps what it takes for a day. This does it now; --trash also
        empties the trash, after which nothing can be restored.
        """)

    @OptionGroup var options: DataOptions
    @Flag(help: "Delete at once what could still be restored.") var trash = false

    func run() async throws {
      try await Terminal.reporting {
        let images = try options.existing.images
        guard access(images, F_OK) == 0 else { throw Failure("there is no store of images at \(images)") }
        let content = try ContentStore.open(root: images)
        var garbage = GarbageOptions()
        if trash { garbage.trashPeriod = .zero }
        let report = try content.collectGarbage(garbage)
        print(
          "\(report.manifestsTrashed) manifests and \(report.blobsTrashed) blobs to the trash; deleted "
            + "\(report.blobsDeleted) blobs (\(size(report.bytesDeleted))) and \(report.layersRemoved) unpacked layers")
      }
    }
  }

  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Import OCI layouts (directory or tar) and docker-archive tar files.")

    @OptionGroup var options: DataOptions
    @Argument(help: "Archives, as `docker save`, `skopeo copy` or `buildah push` write them.") var files: [String]

    func run() async throws {
      try await Terminal.reporting {
        let store = try ImageStore.open(root: options.made.images)
        for file in files {
          for image in try await store.importArchive(path: file, progress: Self.progress(file)) {
            let names = image.names.isEmpty ? image.digest.description : image.names.joined(separator: ", ")
            print("imported \(names)")
          }
        }
      }
    }

    /// A percentage on one line, where a person waits for it.
    private static func progress(_ file: String) -> @Sendable (ImportProgress) -> Void {
      guard isatty(STDERR_FILENO) == 1 else { return { _ in } }
      return { progress in
        guard progress.bytesTotal > 0 else { return }
        let isDone = progress.bytesRead >= progress.bytesTotal
        Terminal.write("\r\(file): \(progress.bytesRead * 100 / progress.bytesTotal) %\(isDone ? "\n" : "")")
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the images.")

    @OptionGroup var options: DataOptions

    func run() async throws {
      try await Terminal.reporting {
        let images = try ImageStore.open(root: options.existing.images).list()
        var rows = [["IMAGE", "ID", "SIZE"]]
        for image in images {
          let id = image.id.description.split(separator: ":").last.map { String($0.prefix(12)) } ?? ""
          for name in image.names.isEmpty ? ["<none>"] : image.names {
            rows.append([name, id, size(image.size)])
          }
        }
        print(Terminal.table(rows))
      }
    }

  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remove images by name, digest or id.", aliases: ["rm"])

    @OptionGroup var options: DataOptions
    @Argument(help: "Names, digests or ids.") var images: [String]

    func run() async throws {
      try await Terminal.reporting {
        let store = try ImageStore.open(root: options.existing.images)
        for image in images {
          try store.remove(image)
          print("removed \(image)")
        }
      }
    }
  }
}

private func size(_ bytes: Int64) -> String {
  if bytes < 1 << 10 { return "\(bytes) B" }
  if bytes < 1 << 20 { return "\(bytes >> 10) KiB" }
  return "\(bytes >> 20) MiB"
}

extension ArchiveFormat: ExpressibleByArgument {}

/// One line on the terminal that tells how far a transfer is; nothing where nobody reads it.
private final class TransferProgress: Sendable {
  private struct State {
    var total: Int64 = 0
    var done: [Digest: Int64] = [:]
    var shown = -1
  }

  private let label: String
  private let isShown = isatty(STDERR_FILENO) == 1
  private let state = Mutex(State())

  init(_ label: String) { self.label = label }

  var report: @Sendable (TransferEvent) -> Void {
    { event in self.take(event) }
  }

  private func take(_ event: TransferEvent) {
    guard isShown else { return }
    let line = state.withLock { state -> String? in
      switch event {
      case .started(let digest, let size):
        state.total += size
        state.done[digest] = 0
      case .transferred(let digest, let bytes, _): state.done[digest] = bytes
      case .finished(let digest, let size): state.done[digest] = size
      case .tagged: return state.total == 0 ? nil : "\r\(label): 100 %\n"
      default: return nil
      }
      guard state.total > 0 else { return nil }
      let percent = Int(state.done.values.reduce(0, +) * 100 / state.total)
      guard percent != state.shown else { return nil }
      state.shown = percent
      return "\r\(label): \(percent) % of \(size(state.total))"
    }
    if let line { Terminal.write(line) }
  }
}
