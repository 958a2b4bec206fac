-- PostgreSQL before TLS: a client asks by a message in plain text whether it may begin, and waits for the answer (PostgreSQL manual,
-- "Message Flow": SSL session encryption, GSSAPI session encryption). The action is run on the first bytes of a connection, once eight are there.
--
-- A client decides what stands here. Eight bytes are looked at, and what is answered does not depend on anything else that was sent.

local SSL_REQUEST, GSSENC_REQUEST = "\0\0\0\8\x04\xd2\x16\x2f", "\0\0\0\8\x04\xd2\x16\x30"
local STARTUP = "^\0\0..\0\3"
local NO_TLS = "this port takes connections with TLS alone: sslmode must be require, verify-ca or verify-full"

-- An ErrorResponse. By its code clients know that nobody looked at who they are (28000: invalid authorization specification); with
-- sslmode=allow they begin again with TLS.
local function refusal(text)
  local fields = "SFATAL\0VFATAL\0C28000\0M" .. text .. "\0\0"
  return "E" .. string.pack(">I4", #fields + 4) .. fields
end

core.register_action("postgres_starttls", { "tcp-req" }, function(txn)
  local head = txn.f:req_payload(0, 8)
  if head == nil then
    return
  end
  local may_begin = txn:get_var("txn.postgres") ~= nil
  if head:find(STARTUP) and not may_begin then
    txn.res:send(refusal(NO_TLS))
    txn:done()
    return
  end
  local answer, asked
  if head == SSL_REQUEST then
    answer, asked = "S", "txn.postgres"
  elseif head == GSSENC_REQUEST then
    -- No to Kerberos encryption alone: what comes next is an SSLRequest, or is refused.
    answer, asked = "N", "txn.postgres_gss"
  end
  -- Once each, and nothing may come before the answer: what follows is not of a client that waited for it. What is left here is no TLS, so that it
  -- is refused by the rules that follow.
  if answer == nil or txn.f:req_len() ~= #head or may_begin or txn:get_var(asked) ~= nil then
    return
  end
  txn.req:remove(0, #head)
  txn:set_var(asked, 1)
  txn.res:send(answer)
end)
