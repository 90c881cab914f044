import CRI
import Containers
import Distribution
import OCI
import RPC
import Testing
import Wire

@testable import Node

@Suite struct CRIImagesTests {
  private let information = """
    {"chainID":"sha256:1","imageSpec":{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Entrypoint":["/app"],\
    "StopSignal":"SIGQUIT"},"rootfs":{"type":"layers","diff_ids":[]}}}
    """

  private func image(_ digests: [String]) -> RuntimeV1.ImageStatusResponse {
    var image = RuntimeV1.Image()
    image.id = "sha256:" + String(repeating: "a", count: 64)
    image.repoDigests = digests
    image.size = 7
    var response = RuntimeV1.ImageStatusResponse()
    response.image = image
    response.info = ["info": information]
    return response
  }

  @Test func imagesOfTheRuntime() throws {
    let reference = try Reference(parsing: "docker.io/library/web:1")
    let digest = "docker.io/library/web@sha256:" + String(repeating: "b", count: 64)
    let found = try #require(try CRIImages.image(image(["x.test/y@sha256:1", digest]), reference))
    #expect(found.imageID == digest && found.image.size == 7 && found.image.layers.isEmpty)
    #expect(found.image.config.entrypoint == ["/app"] && found.image.config.env == ["A=b"])
    // One that was imported came from nowhere.
    #expect(try CRIImages.image(image([]), reference)?.imageID == image([]).image?.id)
    #expect(try CRIImages.image(.init(), reference) == nil)
    var silent = image([])
    silent.info = [:]
    #expect(throws: RPCError.self) { try CRIImages.image(silent, reference) }
    #expect(CRITranslation.configuration(of: image([]))?.at("config", "StopSignal")?.string == "SIGQUIT")
  }

  @Test func credentialsForTheRuntime() {
    let basic = CRIImages.auth(.basic(username: "u", password: "p"), registry: "r.test")
    #expect(basic.username == "u" && basic.password == "p" && basic.serverAddress == "r.test")
    #expect(CRIImages.auth(.identityToken("t"), registry: "r").identityToken == "t")
    #expect(CRIImages.auth(.registryToken("t"), registry: "r").registryToken == "t")
  }
}
