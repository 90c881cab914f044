import ArgumentParser
import Glibc
import OCI

struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image", abstract: "Import, list and remove images.",
    discussion: """
      Images live in the data directory, and a pod that names one starts from it at once. A server may be running.

        apus image import web-app.tar
        kubectl create deployment web --image=localhost/web-app:1
      """,
    subcommands: [Import.self, List.self, Remove.self], defaultSubcommand: List.self)

  struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Import OCI layouts (directory or tar) and docker-archive tar files.")

    @OptionGroup var options: DataOptions
    @Argument(help: "Archives, as `docker save`, `skopeo copy` or `buildah push` write them.") var files: [String]

    func run() async throws {
      try await Terminal.reporting {
        let store = try ImageStore.open(root: options.data.images)
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
        let images = try ImageStore.open(root: options.data.images).list()
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

    private func size(_ bytes: Int64) -> String {
      if bytes < 1 << 10 { return "\(bytes) B" }
      if bytes < 1 << 20 { return "\(bytes >> 10) KiB" }
      return "\(bytes >> 20) MiB"
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Remove images by name, digest or id.", aliases: ["rm"])

    @OptionGroup var options: DataOptions
    @Argument(help: "Names, digests or ids.") var images: [String]

    func run() async throws {
      try await Terminal.reporting {
        let store = try ImageStore.open(root: options.data.images)
        for image in images {
          try store.remove(image)
          print("removed \(image)")
        }
      }
    }
  }
}
