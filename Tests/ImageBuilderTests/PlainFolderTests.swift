import Dockerfile
import Glibc
import LinuxSystem
import OCI
import Testing

@testable import ImageBuilder

@Suite struct PlainFolderTests {
  private func folder(_ files: String...) -> Folder {
    let folder = Folder()
    for file in files { close(open("\(folder.path)/\(file)", O_WRONLY | O_CREAT, 0o644)) }
    return folder
  }

  @Test func staticSite() throws {
    let folder = folder("index.html", "Package.swift")
    let plain = try PlainFolder(folder.path)
    #expect(plain.name == "static site (index.html)")
    let plan = try plan(plain.dockerfile, arguments: ["BASE": "tools"], images: [baseImage("tools")])
    #expect(plan.configuration.config.entrypoint == ["busybox", "httpd", "-f", "-p", "8080", "-h", "/www"])
    #expect(plan.configuration.config.user == "65534:65534")
    #expect(plan.configuration.config.exposedPorts == ["8080/tcp"])
  }

  @Test func swiftPackage() throws {
    let folder = folder("Package.swift")
    let plain = try PlainFolder(folder.path)
    #expect(plain.name == "Swift package (Package.swift)")
    let plan = try plan(plain.dockerfile, arguments: ["BUILDER": "toolchain", "EXECUTABLE": "server"])
    let references = plan.steps.compactMap { if case .base(let image) = $0.kind { image.reference } else { nil } }
    #expect(references.sorted() == ["debian:stable-slim", "toolchain"])
    let runs = plan.steps.compactMap { if case .run(let run) = $0.kind { run } else { nil } }
    let run = try #require(runs.first)
    #expect(runs.count == 1)
    #expect(run.mounts.map(\.mount.kind) == [.cache] && run.mounts.map(\.target) == ["/src/.build"])
    #expect(run.environment.contains { $0.name == "EXECUTABLE" && $0.value == "server" })
    let copies = plan.steps.compactMap { if case .copy(let copy) = $0.kind { copy } else { nil } }
    #expect(copies.first?.excluded == [".build", ".git"])
    #expect(copies.last?.destination == "/usr/local/bin/")
    #expect(plan.configuration.config.entrypoint == ["/usr/local/bin/entrypoint"])
    #expect(plan.configuration.config.user == "65534:65534")
    // The checks that docker build runs have nothing to say about what we write ourselves.
    let dockerfile = try parse(plain.dockerfile)
    let findings = DockerfileLint.check(dockerfile, options: DockerfileLint.Options())
    #expect(findings.filter { $0.check.isBuildCheck }.map(\.message) == [])
  }

  /// The shell part by itself, with a `swift` that makes what the real one makes.
  @Test func swiftPackageChoosesWhatTheImageStarts() async throws {
    let folder = folder("Package.swift")
    let plain = try PlainFolder(folder.path)
    let plan = try plan(plain.dockerfile)
    let run = try #require(plan.steps.compactMap { if case .run(let run) = $0.kind { run } else { nil } }.first)
    let script = try #require(run.arguments.last)
    #expect(script.hasPrefix("set -eu\n"))
    for (made, chosen, expected) in [
      ("one", "", "one"), ("one two", "two", "two"), ("one two", "", nil), ("", "", nil), ("one", "three", nil),
      ("entrypoint", "", "entrypoint"),
    ] as [(String, String, String?)] {
      let root = Folder()
      let body = """
        cd \(root.path); swift() { mkdir -p .build/release/x.resources; for name in \(made); do \
        printf '#!/bin/sh\\n' > .build/release/$name; chmod 755 .build/release/$name; done; : > .build/release/x.o; }
        EXECUTABLE=\(chosen)
        \(script.split(separator: "\n").map { $0.split(separator: "/out", omittingEmptySubsequences: false)
          .joined(separator: "\(root.path)/out") }.joined(separator: "\n"))
        """
      let result = try await Subprocess.run("/bin/sh", ["-c", body])
      #expect(result.status.isSuccess == (expected != nil), "\(made), \(chosen): \(result.message)")
      guard let expected else { continue }
      let link = "\(root.path)/out/entrypoint"
      if expected != "entrypoint" {
        var target = [CChar](repeating: 0, count: 256)
        let count = readlink(link, &target, target.count)
        #expect(String(decoding: target.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self) == expected)
      }
      #expect(access(link, X_OK) == 0)
      #expect(access("\(root.path)/out/x.resources", F_OK) == 0 && access("\(root.path)/out/x.o", F_OK) != 0)
    }
  }

  @Test func anythingElseIsSaidNoTo() {
    let folder = folder("other")
    #expect(throws: BuildError.self) { try PlainFolder(folder.path) }
  }
}
