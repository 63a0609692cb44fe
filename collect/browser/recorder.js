// Keeps what a page's own scripts are answered, a row an answer: the address that was asked, the name of the file that
// the request carried, the status (0: cut off), the text, Retry-After, and the address that answered.
window.comreadvAnswers = [];
const keep = (asked, body, status, text, retry, where) =>
  window.comreadvAnswers.push([String(asked), fileIn(body), status, text, retry, where]);
const fileIn = (body) => {
  const parts = body instanceof FormData ? [...body.values()] : [body];
  return parts.find((part) => part instanceof File)?.name ?? null;
};
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  this.comreadvAsked = url;
  return open.call(this, method, url, ...rest);
};
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (body) {
  this.addEventListener('loadend', () => {
    const text = typeof this.response === 'string' ? this.response : JSON.stringify(this.response);
    keep(this.comreadvAsked, body, this.status, text, this.getResponseHeader('Retry-After'), this.responseURL);
  });
  return send.call(this, body);
};
const ask = window.fetch;
window.fetch = async (...rest) => {
  const asked = rest[0] instanceof Request ? rest[0].url : rest[0];
  const body = rest[1]?.body;
  const cut = () => keep(asked, body, 0, '', null, '');
  try {
    const answer = await ask(...rest);
    answer.clone().text().then(
      (text) => keep(asked, body, answer.status, text, answer.headers.get('Retry-After'), answer.url), cut);
    return answer;
  } catch (error) {
    cut();
    throw error;
  }
};
