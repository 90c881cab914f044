import Dockerfile
import Glibc
import OCI

@testable import ImageBuilder

func parse(_ text: String) throws -> Dockerfile { try Dockerfile.parse(Array(text.utf8)) }

func baseImage(_ reference: String, platform: String = "linux/amd64", _ change: (inout ImageConfig) -> Void = { _ in })
  -> BaseImage
{
  var config = ImageConfig()
  config.env = ["PATH=/bin"]
  change(&config)
  let digest = Digest(of: Array(reference.utf8))
  return BaseImage(
    reference: reference, platform: platform, digest: digest.description,
    layers: [Image.Layer(blob: digest, diffID: digest, size: 1, mediaType: MediaType.layer(.gzip))],
    configuration: ImageConfiguration(config), history: [History(createdBy: "base")], created: nil)
}

func plan(
  _ text: String, options: BuildPlanner.Options = BuildPlanner.Options(), arguments: [String: String] = [:],
  images: [BaseImage] = []
) throws -> BuildPlan {
  let dockerfile = try parse(text)
  let globals = try dockerfile.globalScope(
    BuildVariables(
      buildArguments: arguments, buildPlatform: "linux/amd64", targetPlatform: "linux/amd64",
      targetStage: options.target ?? "default"))
  var known: [BuildPlanner.ImageKey: BaseImage] = [:]
  for image in images { known[BuildPlanner.ImageKey(reference: image.reference, platform: image.platform)] = image }
  for _ in 0..<10 {
    switch try BuildPlanner.plan(dockerfile, globals: globals, options: options, images: known) {
    case .plan(let plan): return plan
    case .needs(let keys):
      for key in keys { known[key] = baseImage(key.reference, platform: key.platform) }
    }
  }
  throw BuildError(.system, "never planned")
}

/// A folder that goes with the object.
final class Folder: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/apus-build-test-XXXXXX".utf8CString)
    _ = mkdtemp(&template)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { remove(path) }

  private func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR, let stream = opendir(path) {
      while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { remove("\(path)/\(name)") }
      }
      closedir(stream)
      rmdir(path)
    } else {
      unlink(path)
    }
  }

  func write(_ name: String, _ content: String, mode: mode_t = 0o644) {
    var folder = path
    // By bytes: to Swift a slash before a combining mark is another character.
    for part in name.utf8.split(separator: UInt8(ascii: "/")).dropLast() {
      folder += "/\(Substring(part))"
      mkdir(folder, 0o755)
    }
    let fd = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode)
    _ = Glibc.write(fd, content, content.utf8.count)
    fchmod(fd, mode)
    close(fd)
  }

  func link(_ name: String, to target: String) { symlink(target, "\(path)/\(name)") }

  func tree(ignore: DockerIgnore? = nil) throws -> FileTree {
    try FileTree(path, origin: .context, label: "the build context", ignore: ignore)
  }
}

extension Result {
  var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
