-- Reads one path of the registry. Argument: the path.
function init(args)
  wrk.path = args[1]
  wrk.headers["Accept"] = "application/vnd.oci.image.manifest.v1+json"
end
